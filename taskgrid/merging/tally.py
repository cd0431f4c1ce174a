"""Counts by name in bounded space.

A task's result is small, names are not. A `Tally` keeps the largest counts and says how much it may
have missed. Kept counts are never lowered and `missed` adds up, so that after any merges in any order
a true count lies between `counts[name]` and `counts[name] + missed`. (Mergeable bounds of this kind:
Agarwal et al., "Mergeable Summaries", PODS 2012.)
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import AnyStr, Final

from pydantic import BaseModel, ConfigDict

__all__ = ["Tally"]

MERGED_NAMES: Final = 100_000
"""Names a tally holds at most while tallies are merged; beyond, its smaller half goes."""


class Tally(BaseModel):
    """Counts by name, and a bound on what each may lack."""

    model_config = ConfigDict(frozen=True)

    counts: dict[str, int] = {}
    missed: int = 0
    """The most that a count may be too low, and the most that a name which was not kept can have."""

    @classmethod
    def of(cls, counts: Mapping[str, int], *, missed: int = 0, names: int, size: int) -> Tally:
        """Keep the largest counts: at most `names` of them, in at most `size` bytes of JSON."""
        ranked = sorted(counts.items(), key=_rank)
        kept = _fitting(ranked[:names], size)
        dropped = ranked[len(kept)][1] if len(kept) < len(ranked) else 0
        return cls(counts=dict(kept), missed=missed + dropped)

    @classmethod
    def merge(cls, tallies: Iterable[Tally]) -> Tally:
        """Add tallies up: exact and associative up to `MERGED_NAMES` names, within `missed` beyond."""
        counts: Counter[str] = Counter()
        missed = 0
        for tally in tallies:
            counts.update(tally.counts)
            missed += tally.missed + trim(counts, MERGED_NAMES)
        return cls(counts=dict(counts), missed=missed)

    def __add__(self, other: Tally) -> Tally:
        return Tally.merge((self, other))

    def top(self, count: int) -> list[tuple[str, int]]:
        """Return the `count` largest as (name, count), equal ones by name."""
        return heapq.nsmallest(count, self.counts.items(), key=_rank)

    def certain(self, count: int) -> bool:
        """Say whether the `count` largest here are surely the `count` largest of all."""
        numbers = [number for _, number in self.top(count + 1)] + [0]
        return not self.missed or (len(numbers) > count and numbers[count - 1] >= numbers[count] + self.missed)


def trim(counts: Counter[AnyStr], most: int) -> int:
    """Drop the smaller half if there are more than `most` names; return the largest count dropped."""
    return max(halved(counts, most).values(), default=0)


def halved(counts: Counter[AnyStr], most: int) -> dict[AnyStr, int]:
    """Take the smaller half out if there are more than `most` names, and return it."""
    if len(counts) <= most:
        return {}
    dropped = dict(sorted(counts.items(), key=_rank)[most // 2 :])
    for name in dropped:
        del counts[name]
    return dropped


def _rank(item: tuple[AnyStr, int]) -> tuple[int, AnyStr]:
    return -item[1], item[0]


def _fitting(ranked: list[tuple[str, int]], size: int) -> list[tuple[str, int]]:
    for index, (name, count) in enumerate(ranked):
        size -= len(json.dumps(name)) + len(str(count)) + 2
        if size < 0:
            return ranked[:index]
    return ranked
