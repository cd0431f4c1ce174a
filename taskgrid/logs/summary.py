"""What an access log adds up to: a summary that merges.

Sums and small counts are exact. Counts by path, client or hour can have any number of names, and a
task's result is small, so a `Tally` keeps the largest and says how much it may have missed. Kept
counts are never lowered and `missed` adds up, so that after any merges in any order a true count
lies between `counts[name]` and `counts[name] + missed`. (Mergeable bounds of this kind: Agarwal et
al., "Mergeable Summaries", PODS 2012.) This module knows no log format and reads no file.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import AnyStr, Final

from pydantic import BaseModel, ConfigDict

__all__ = ["AccessSummary", "Tally"]

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

    def top(self, count: int) -> list[tuple[str, int]]:
        """Return the `count` largest as (name, count), equal ones by name."""
        return heapq.nsmallest(count, self.counts.items(), key=_rank)

    def certain(self, count: int) -> bool:
        """Say whether the `count` largest here are surely the `count` largest of all."""
        numbers = [number for _, number in self.top(count + 1)] + [0]
        return not self.missed or (len(numbers) > count and numbers[count - 1] >= numbers[count] + self.missed)


def trim(counts: Counter[AnyStr], most: int) -> int:
    """Drop the smaller half if there are more than `most` names; return the largest count dropped."""
    if len(counts) <= most:
        return 0
    dropped = sorted(counts.items(), key=_rank)[most // 2 :]
    for name, _ in dropped:
        del counts[name]
    return dropped[0][1]


def _rank(item: tuple[AnyStr, int]) -> tuple[int, AnyStr]:
    return -item[1], item[0]


def _fitting(ranked: list[tuple[str, int]], size: int) -> list[tuple[str, int]]:
    for index, (name, count) in enumerate(ranked):
        size -= len(json.dumps(name)) + len(str(count)) + 2
        if size < 0:
            return ranked[:index]
    return ranked


class AccessSummary(BaseModel):
    """What a web server's access logs add up to; `a + b` is the summary of both."""

    model_config = ConfigDict(frozen=True)

    files: int = 0
    lines: int = 0
    """All lines, those that could not be read included."""
    bad_lines: int = 0
    """Lines that do not begin as the common log format does; they count nowhere else."""
    bytes: int = 0
    """Bodies sent to clients, as the log says; `-` is none."""
    statuses: dict[int, int] = {}
    methods: Tally = Tally()
    """`-` stands for requests that are not HTTP; likewise in `paths`."""
    paths: Tally = Tally()
    """Request targets with their query, cut at 1,000 bytes."""
    clients: Tally = Tally()
    hours: Tally = Tally()
    """Hits by hour in the log's own time zone, as `2015-05-17T10+0000`."""

    @classmethod
    def merge(cls, summaries: Iterable[AccessSummary]) -> AccessSummary:
        """Add summaries up; none at all is the empty summary."""
        found = list(summaries)
        statuses: Counter[int] = Counter()
        for summary in found:
            statuses.update(summary.statuses)
        return cls(
            files=sum(summary.files for summary in found),
            lines=sum(summary.lines for summary in found),
            bad_lines=sum(summary.bad_lines for summary in found),
            bytes=sum(summary.bytes for summary in found),
            statuses=dict(statuses),
            methods=Tally.merge(summary.methods for summary in found),
            paths=Tally.merge(summary.paths for summary in found),
            clients=Tally.merge(summary.clients for summary in found),
            hours=Tally.merge(summary.hours for summary in found),
        )

    def __add__(self, other: AccessSummary) -> AccessSummary:
        return AccessSummary.merge((self, other))
