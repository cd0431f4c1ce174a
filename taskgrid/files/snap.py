"""Snaps both ends of a slice to record boundaries, so that slices share a file without a gap or an overlap.

One rule decides every seam. Of a place X in the data, `cut(X)` is the first boundary whose mark (the
separator before it) begins at or after X; the slice from X to Y has what lies between `cut(X)` and
`cut(Y)`. The reader that comes from the left and the one that begins at X find the same place without
having seen each other's bytes. The file's own beginning is a boundary without a mark, and so is its end.

The data comes as pieces, each said to lie before Y or not; Y itself need not be known beforehand, as
it is not in a compressed file. Memory holds a record and a piece, never more. Knows no file.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Final

from taskgrid.errors import RecordTooLong
from taskgrid.files.records import Records

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

LONGEST_RECORD: Final = 32 << 20
"""Bytes that a record may have: it is held in memory, twice for a moment."""

Pieces = Iterable[tuple[bytes, bool]]
"""Data in order, each piece with whether it lies before the slice's end."""


def snapped(pieces: Pieces, records: Records, *, whole: bool) -> Generator[bytes, None, None]:
    """Yield blocks that begin and end at boundaries; `whole` says that the data begins at one.

    Raises RecordTooLong.
    """
    seam = _Seam(records, whole=whole)
    for piece, inside in pieces:
        block = seam.add(piece, inside=inside)
        if block:
            yield block
        if seam.done:
            return
    block = seam.finish()
    if block:
        yield block


class _Seam:
    """What was read and not yet given out, and where it lies."""

    def __init__(self, records: Records, *, whole: bool) -> None:
        self.done = False
        self._records = records
        self._begun = whole
        self._end: int | None = None
        """The slice's end in the data, once it is known."""
        self._kept: list[bytes] = []
        """Bytes of a record that goes on; no boundary ends in them."""
        self._kept_size = 0
        self._open = b""
        """Bytes after those, which may hold a mark that shows only with the next piece."""
        self._at = 0
        """Where the open bytes begin in the data."""

    def add(self, piece: bytes, *, inside: bool) -> bytes:
        """Take the next piece; return what is complete with it."""
        if not inside and self._end is None:
            self._end = self._at + len(self._open)
        data = self._open + piece if self._open else piece
        if not self._begun:
            data = self._dropped(data, complete=False)
        return self._complete(data) if self._begun and not self.done else b""

    def finish(self) -> bytes:
        """Take the end of the data for a boundary; return what is left."""
        rest = self._open if self._begun else self._dropped(self._open, complete=True)
        if not self._begun:
            return b""
        if self._end is not None:
            cut = self._records.first(rest, max(0, self._end - self._at), complete=True)
            rest = rest[:cut] if cut else rest
        return b"".join((*self._kept, rest))

    def _dropped(self, data: bytes, *, complete: bool) -> bytes:
        """Drop what lies before the first boundary; it is another slice's."""
        cut = self._records.first(data, complete=complete)
        if cut and (self._end is None or self._at + cut - self._records.mark < self._end):
            self._begun = True
            self._at += cut
            return data[cut:]
        decided = self._records.decided(data)
        self._at += decided
        self._open = data[decided:]
        self.done = bool(cut) or (self._end is not None and self._at >= self._end)
        return data

    def _complete(self, data: bytes) -> bytes:
        if self._end is None:
            cut = self._records.last(data)
        else:
            cut = self._records.first(data, max(0, self._end - self._at))
            self.done = bool(cut)
        block = self._given(data, cut) if cut else b""
        self._keep(data[cut:])
        return block

    def _given(self, data: bytes, cut: int) -> bytes:
        self._at += cut
        if cut == len(data) and not self._kept:
            return data
        block = b"".join((*self._kept, memoryview(data)[:cut]))
        self._kept.clear()
        self._kept_size = 0
        return block

    def _keep(self, data: bytes) -> None:
        decided = self._records.decided(data)
        if decided:
            self._kept.append(data[:decided])
        self._kept_size += decided
        self._at += decided
        self._open = data[decided:]
        if self._kept_size + len(self._open) > LONGEST_RECORD:
            raise RecordTooLong(
                f"a record is longer than {LONGEST_RECORD >> 20} MiB",
                why="A record is held in memory as a whole, and this one has found no end.",
                hint="Say with `separator` or `begins` where records end; is it a binary file?",
            )
