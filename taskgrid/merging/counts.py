"""Exact counts by name."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

__all__ = ["Counts"]


class Counts(BaseModel):
    """How often each name occurs: exact, and as large as there are names."""

    model_config = ConfigDict(frozen=True)

    counts: dict[str, int] = {}

    @classmethod
    def of(cls, names: Iterable[str]) -> Counts:
        """Count names."""
        return cls(counts=Counter(names))

    @classmethod
    def merge(cls, parts: Iterable[Counts]) -> Counts:
        """Add counts up."""
        total: Counter[str] = Counter()
        for part in parts:
            total.update(part.counts)
        return cls(counts=total)

    @property
    def total(self) -> int:
        """All occurrences of all names."""
        return sum(self.counts.values())

    def top(self, count: int) -> list[tuple[str, int]]:
        """Return the `count` largest as (name, count), equal ones by name."""
        return heapq.nsmallest(count, self.counts.items(), key=lambda item: (-item[1], item[0]))

    def __add__(self, other: Counts) -> Counts:
        return Counts.merge((self, other))
