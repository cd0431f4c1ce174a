"""Pages of trails: up to 256 neighbours in columns, each as narrow as what it holds.

A column begins narrow and is made wide when a number does not fit, which is rare: floors of one epoch differ by
less than 32 bits, and a job's pasts by less than 16. Knows nothing of what the numbers mean.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

BITS: Final = 8
SIZE: Final = 1 << BITS
FLOORS: Final = "I"
PASTS: Final = "H"
DUES: Final = "I"
WIDE: Final = "Q"
NEVER: Final = 1 << 32
"""Beyond every instant that a column of dues holds."""
_ALL: Final = bytes(range(SIZE))


class Page:
    """The trails of up to 256 neighbours, in columns sorted by `offsets`."""

    __slots__ = ("dues", "floors", "offsets", "pasts", "rings_at")

    def __init__(self, offsets: Iterable[int] = ()) -> None:
        mine = bytes(offsets)
        self.offsets = _ALL if len(mine) == SIZE else mine
        self.floors = array(FLOORS)
        self.pasts = array(PASTS)
        self.dues = array(DUES)
        self.rings_at = NEVER

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Return from and up to where the columns have these offsets."""
        return bisect_left(self.offsets, start), bisect_left(self.offsets, stop)

    def replace(self, low: int, high: int, new: Page) -> None:
        """Put the columns of another page in place of a part of these."""
        self.offsets = self.offsets[:low] + new.offsets + self.offsets[high:]
        self.floors = _spliced(self.floors, low, high, new.floors)
        self.pasts = _spliced(self.pasts, low, high, new.pasts)
        self.dues[low:high] = new.dues
        if len(self.offsets) == SIZE:
            self._fit()

    def insert(self, at: int, offset: int) -> None:
        """Make room for one more task, whose numbers are 0 so far."""
        self.offsets = self.offsets[:at] + _ALL[offset : offset + 1] + self.offsets[at:]
        self.floors.insert(at, 0)
        self.pasts.insert(at, 0)
        self.dues.insert(at, 0)
        if len(self.offsets) == SIZE:
            self._fit()

    def set_floor(self, at: int, floor: int) -> None:
        """Note a floor."""
        try:
            self.floors[at] = floor
        except OverflowError:
            self.floors = array(WIDE, self.floors)
            self.floors[at] = floor

    def set_past(self, at: int, past: int) -> None:
        """Note the number of a past."""
        try:
            self.pasts[at] = past
        except OverflowError:
            self.pasts = array(WIDE, self.pasts)
            self.pasts[at] = past

    def cut(self, low: int, high: int, *, only: set[int]) -> Page:
        """Return some of the entries of a part, without their dues."""
        kept = [at for at in range(low, high) if self.pasts[at] in only]
        new = Page(self.offsets[at] for at in kept)
        new.floors = array(self.floors.typecode, [self.floors[at] for at in kept])
        new.pasts = array(self.pasts.typecode, [self.pasts[at] for at in kept])
        new.dues = filled(DUES, 0, len(kept))
        return new

    def _fit(self) -> None:
        """Give back the room to grow, of which a full page has no use."""
        self.offsets = _ALL
        self.floors, self.pasts, self.dues = self.floors[:], self.pasts[:], self.dues[:]


def filled(code: str, value: int, width: int) -> array[int]:
    """Return a column of one value."""
    return packed(code, (value,)) * width


def packed(code: str, values: Iterable[int]) -> array[int]:
    """Return a column of these values, a wide one if one of them needs it."""
    values = tuple(values)
    try:
        return array(code, values)
    except OverflowError:
        return array(WIDE, values)


def _spliced(column: array[int], low: int, high: int, new: array[int]) -> array[int]:
    if column.typecode != new.typecode:
        column, new = array(WIDE, column), array(WIDE, new)
    column[low:high] = new
    return column


def stored(column: array[int]) -> bytes:
    """Return a column's bytes as they are kept, the same on every machine."""
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def loaded(code: str, kept: bytes) -> array[int]:
    """Return the column that was kept."""
    column = array(code, kept)
    if sys.byteorder == "big":
        column.byteswap()
    return column
