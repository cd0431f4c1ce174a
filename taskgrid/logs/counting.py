"""Counts the values of one field of a log, exactly.

A pure function over blocks; which lines are good, and what a field is, the format says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from taskgrid.logs.fields import text, value_of
from taskgrid.logs.formats import Format, column_of
from taskgrid.logs.reading import Block, whole_lines
from taskgrid.merging import Counts

__all__ = ["FieldCounts"]


class FieldCounts(BaseModel):
    """How often each value of a field occurs; `a + b` is the count of both."""

    model_config = ConfigDict(frozen=True)

    lines: int = 0
    """All lines."""
    bad_lines: int = 0
    """Lines that are not of the log's format."""
    absent: int = 0
    """Good lines without the field."""
    values: Counts = Counts()

    @classmethod
    def merge(cls, parts: Iterable[FieldCounts]) -> FieldCounts:
        """Add counts up."""
        found = list(parts)
        return cls(
            lines=sum(part.lines for part in found),
            bad_lines=sum(part.bad_lines for part in found),
            absent=sum(part.absent for part in found),
            values=Counts.merge(part.values for part in found),
        )

    def __add__(self, other: FieldCounts) -> FieldCounts:
        return FieldCounts.merge((self, other))


def count(blocks: Iterable[Block], field: str, log: Format) -> FieldCounts:
    """Count a field's values in blocks that end where a line ends; UsageError if lines have no such field."""
    column = column_of(field, log)
    lines = good = 0
    raw: Counter[bytes] = Counter()
    for block in whole_lines(blocks):
        found = log.values(block, column)
        lines, good = lines + found.lines, good + found.good
        raw.update(found.counts)
    counts: Counter[str] = Counter()
    for value, hits in raw.items():
        part = value if field == column else value_of(field, value)
        if part is not None:
            counts[text(part)] += hits
    values = Counts(counts=counts)
    return FieldCounts(lines=lines, bad_lines=lines - good, absent=good - values.total, values=values)
