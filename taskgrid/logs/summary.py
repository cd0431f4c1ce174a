"""What an access log adds up to: a summary that merges.

Sums and small counts are exact. Counts by path, client, agent or hour can have any number of names,
hence are tallies. This module knows no log format and reads no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from taskgrid.merging import Tally

__all__ = ["AccessSummary"]


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
    agents: Tally = Tally()
    """Cut at 1,000 bytes, as `referrers`; `-` is what the log says of a client that sent none."""
    referrers: Tally = Tally()
    errors: Tally = Tally()
    """Status and path of the hits with a status of 400 and over, as `404 /favicon.ico`."""

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
            agents=Tally.merge(summary.agents for summary in found),
            referrers=Tally.merge(summary.referrers for summary in found),
            errors=Tally.merge(summary.errors for summary in found),
        )

    def __add__(self, other: AccessSummary) -> AccessSummary:
        return AccessSummary.merge((self, other))
