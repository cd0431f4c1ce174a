"""Counts the values of one field of a log: exactly, as long as a result can hold their names.

A pure function over blocks; which lines are good, and what a field is, the format says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict

from taskgrid.logs.fields import text, value_of
from taskgrid.logs.formats import Format, column_of
from taskgrid.logs.reading import Block, whole_lines
from taskgrid.merging import Tally
from taskgrid.merging.tally import trim

__all__ = ["FieldCounts"]

MOST_VALUES: Final = 200_000
"""Different values held while a log is read; beyond, the smaller half goes."""
_KEPT, _KEPT_BYTES = 50_000, 768 << 10
"""Different values in a result, and the bytes that they may take as JSON: a result has to be under 1 MiB."""


class FieldCounts(BaseModel):
    """How often each value of a field occurs; `a + b` is the count of both."""

    model_config = ConfigDict(frozen=True)

    lines: int = 0
    """All lines."""
    bad_lines: int = 0
    """Lines that are not of the log's format."""
    absent: int = 0
    """Good lines without the field."""
    values: Tally = Tally()
    """Exact while `values.missed` is 0; it says else how much each count may lack."""

    @classmethod
    def merge(cls, parts: Iterable[FieldCounts]) -> FieldCounts:
        """Add counts up."""
        found = list(parts)
        return cls(
            lines=sum(part.lines for part in found),
            bad_lines=sum(part.bad_lines for part in found),
            absent=sum(part.absent for part in found),
            values=Tally.merge(part.values for part in found),
        )

    def __add__(self, other: FieldCounts) -> FieldCounts:
        return FieldCounts.merge((self, other))


def count(blocks: Iterable[Block], field: str, log: Format) -> FieldCounts:
    """Count a field's values in blocks that end where a line ends; UsageError if lines have no such field."""
    column = column_of(field, log)
    lines = good = 0
    values = _Values(None if field == column else field)
    for block in whole_lines(blocks):
        found = log.values(block, column)
        lines, good = lines + found.lines, good + found.good
        values.add(found.counts)
    return values.counted(lines, good)


class _Values:
    """A field's values, counted by the column that they stand in: each of a column's is looked into but once."""

    def __init__(self, part: str | None) -> None:
        """`part`: the field, if it is a part of its column."""
        self._part = part
        self._raw: Counter[bytes] = Counter()
        self._counts: Counter[str] = Counter()
        self._present = 0
        self._missed = 0

    def add(self, counts: Mapping[bytes, int]) -> None:
        self._raw.update(counts)
        if len(self._raw) > MOST_VALUES:
            self._look_into()

    def counted(self, lines: int, good: int) -> FieldCounts:
        self._look_into()
        values = Tally.of(self._counts, missed=self._missed, names=_KEPT, size=_KEPT_BYTES)
        return FieldCounts(lines=lines, bad_lines=lines - good, absent=good - self._present, values=values)

    def _look_into(self) -> None:
        for column, hits in self._raw.items():
            value = column if self._part is None else value_of(self._part, column)
            if value is not None:
                self._counts[text(value)] += hits
                self._present += hits
        self._raw.clear()
        self._missed += trim(self._counts, MOST_VALUES)
