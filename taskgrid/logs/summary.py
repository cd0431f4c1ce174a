"""What logs add up to: summaries that merge.

Sums and small counts are exact. Counts by path, client, message or hour can have any number of names,
hence are tallies. This module knows no log format and reads no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from taskgrid.logs.period import Period
from taskgrid.merging import Tally

__all__ = ["AccessSummary", "LogSummary"]


class AccessSummary(BaseModel):
    """What a web server's access logs add up to; `a + b` is the summary of both."""

    model_config = ConfigDict(frozen=True)

    files: int = 0
    lines: int = 0
    """All lines, those that could not be read included."""
    bad_lines: int = 0
    """Lines that are not as the log's format says; they count nowhere else."""
    bytes: int = 0
    """Bodies sent to clients, as the log says; `-` is none."""
    statuses: dict[int, int] = {}
    methods: Tally = Tally()
    """`-` stands for requests that are not HTTP; likewise in `paths`."""
    paths: Tally = Tally()
    """Request targets with their query, cut at 1,000 bytes."""
    clients: Tally = Tally()
    hours: Tally = Tally()
    """Lines by hour in the log's own time zone, as `2015-05-17T10+0000`."""
    agents: Tally = Tally()
    """Cut at 1,000 bytes, as `referrers`; `-` is what the log says of a client that sent none."""
    referrers: Tally = Tally()
    errors: Tally = Tally()
    """Status and path of the hits with a status of 400 and over, as `404 /favicon.ico`."""

    @classmethod
    def merge(cls, summaries: Iterable[Self]) -> Self:
        """Add summaries up; none at all is the empty summary."""
        found = list(summaries)
        fields = cls.model_fields.items() if found else ()
        return cls(**{name: _sum([getattr(each, name, field.default) for each in found]) for name, field in fields})

    def __add__(self, other: Self) -> Self:
        kind = type(other) if isinstance(other, type(self)) else type(self)
        return kind.merge((self, other))


class LogSummary(AccessSummary):
    """What logs of any kind add up to: beside requests, what lines say that are none, as those of syslog."""

    size: int = 0
    """Bytes of the lines of logs without requests."""
    period: Period = Period()
    """Their first and last time."""
    severities: Tally = Tally()
    """By syslog's names; other levels as they are."""
    facilities: Tally = Tally()
    hosts: Tally = Tally()
    programs: Tally = Tally()
    messages: Tally = Tally()
    """Program and message, with numbers, addresses and quoted strings folded: `sshd: Invalid user <str> from <ip>`."""
    warnings: Tally = Tally()
    """Those of them that are warnings or worse, by their severity or, where a line has none, by their words."""
    bad: Tally = Tally()
    """Bad lines, folded likewise and cut at 200 bytes."""


def _sum(values: list[Any]) -> Any:
    """Add up what summaries have of one kind: numbers, numbers by key, or what merges by itself."""
    if isinstance(values[0], int):
        return sum(values)
    if isinstance(values[0], dict):
        total: Counter[int] = Counter()
        for value in values:
            total.update(value)
        return dict(total)
    return type(values[0]).merge(values)
