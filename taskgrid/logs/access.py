"""Turns the lines of a web server's log into its summary, in memory that does not grow with the log.

Knows how counted columns become a summary; what a line is, `taskgrid.lines` knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from taskgrid.lines.columns import ColumnCounts, Columns
from taskgrid.logs.by_record import RecordColumns
from taskgrid.logs.fields import text, value_of
from taskgrid.logs.formats import Access, Format
from taskgrid.logs.reading import Block, whole_lines
from taskgrid.logs.summary import AccessSummary
from taskgrid.merging import Tally
from taskgrid.merging.tally import halved

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

MOST_NAMES: Final = 200_000
"""Names counted per column while a log is read; beyond, the smaller half goes."""

_LONGEST: Final = 1000
"""Bytes of a path, an agent or a referrer that are kept."""
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "clients": ("client",),
    "requests": ("method", "path"),
    "hits": ("hour",),
    "agents": ("agent",),
    "referrers": ("referrer",),
    "errors": ("error",),
}
"""What is made of the columns that can have any number of names."""


def summarise(blocks: Iterable[Block], *, files: int = 1, host: bool = False) -> AccessSummary:
    """Summarise an access log, given in blocks that end where a line ends; `host`: a virtual host stands first."""
    return _counted(blocks, Columns(host=host), files)


def summarised(blocks: Iterable[Block], log: Format, *, files: int = 1) -> AccessSummary:
    """Summarise the log of a web server in any format; lines without a status are bad."""
    columns = Columns(host=log.host) if isinstance(log, Access) else RecordColumns(log)
    return _counted(blocks, columns, files)


def _counted(blocks: Iterable[Block], columns: ColumnCounts, files: int) -> AccessSummary:
    missed: Counter[str] = Counter()
    for block in whole_lines(blocks):
        columns.add(block)
        for name, fields in _FIELDS.items():
            if dropped := halved(getattr(columns, name), MOST_NAMES):
                # Several names of a column are one of a field: it lacks what all of them had.
                missed.update({field: max(_named(field, dropped).values()) for field in fields})
    return _summary(columns, missed, files)


def _summary(columns: ColumnCounts, missed: Mapping[str, int], files: int) -> AccessSummary:
    return AccessSummary(
        files=files,
        lines=columns.lines,
        bad_lines=columns.lines - columns.good,
        bytes=columns.size,
        statuses={int(status): hits for status, hits in sorted(columns.statuses.items())},
        methods=Tally.of(_named("method", columns.requests), missed=missed["method"], names=64, size=4 << 10),
        paths=Tally.of(_named("path", columns.requests), missed=missed["path"], names=2000, size=300 << 10),
        clients=Tally.of(_named("client", columns.clients), missed=missed["client"], names=2000, size=150 << 10),
        hours=Tally.of(_named("hour", columns.hits), missed=missed["hour"], names=10_000, size=280 << 10),
        agents=Tally.of(_named("agent", columns.agents), missed=missed["agent"], names=1000, size=80 << 10),
        referrers=Tally.of(_named("referrer", columns.referrers), missed=missed["referrer"], names=1000, size=80 << 10),
        errors=Tally.of(_named("error", columns.errors), missed=missed["error"], names=1000, size=80 << 10),
    )


def _named(field: str, counts: Mapping[bytes, int]) -> Counter[str]:
    """Count by what a field is of a column's values; `-` for what has none."""
    if field == "error":
        return _errors(counts)
    found: Counter[str] = Counter()
    for value, hits in counts.items():
        named = value_of(field, value)
        found["-" if named is None else text(named[:_LONGEST])] += hits
    return found


def _errors(counts: Mapping[bytes, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for value, hits in counts.items():
        status, _, request = value.partition(b" ")
        path = value_of("path", request)
        found[text(status) + " " + ("-" if path is None else text(path[:_LONGEST]))] += hits
    return found
