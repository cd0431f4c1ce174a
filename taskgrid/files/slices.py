"""A piece of a file, as a task gets it: the argument type of functions that read files.

A slice says which stored bytes it stands for and how records end; reading it snaps both ends to
records. Knows how a file becomes records, and nothing of where slices come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from taskgrid.errors import BadRecord, FileDamaged, UsageError
from taskgrid.files.formats import archive_of
from taskgrid.files.identity import Identity
from taskgrid.files.records import Records, records_of
from taskgrid.files.snap import Pieces, snapped
from taskgrid.files.stored import Stored
from taskgrid.files.units import unit_pieces

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_BLOCK: Final = 256 << 10
"""Bytes that fit into a core's own cache."""
_LINE: Final = 16 << 10
"""Bytes in which most records end."""


class FileSlice(BaseModel):
    """A piece of a file: iterate over it for its records, each with its separator, as bytes.

    The slices of a file yield every record exactly once, in order, whatever their sizes. `start` and
    `end` are offsets of stored bytes, of which the slice has the records that begin there; both ends
    snap to records. Compressed files are decoded. Memory holds a record or 8 MiB, whatever the file.

    Reading raises `OSError` if the file can't be read, FileChanged if it is not what was planned or was
    rewritten meanwhile (appending is no change), FileDamaged with the stored `offset` after the records
    that could be read, RecordTooLong, UsageError if it is no file. A loop that is left early is
    not told of a change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    """Where the file lies, absolute: the same on every machine that reads it."""
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    identity: Identity
    """What the file was when it was planned."""
    separator: str = "\n"
    """What a record ends with, as UTF-8."""
    begins: str | None = None
    """A regular expression that a record's first line matches from its beginning; then records are made of lines."""
    index: Path | None = None
    """The seek index of a gzip file of one long member."""

    @model_validator(mode="after")
    def _records_can_be_told(self) -> Self:
        try:
            records_of(self.separator, self.begins)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self

    def __iter__(self) -> Iterator[bytes]:  # type: ignore[override]  # a slice is iterated for records, not for fields
        return self.lines()

    def lines(self) -> Iterator[bytes]:
        """Yield the records, as iterating does."""
        return chain.from_iterable(map(self._records().split, self.blocks()))

    def text(self, encoding: str = "utf-8", errors: str = "strict") -> Iterator[str]:
        """Yield the records as text; `errors` is one of `codecs`'s policies: strict, replace, backslashreplace, …

        Line ends stay as they are. UsageError for an encoding in which a newline is not one byte, as UTF-16.
        """
        if b"\n".decode(encoding, "replace") != "\n":
            raise UsageError(
                f"records can't be told apart in {encoding}",
                why="In it a newline is not the byte 10, which ends a record here.",
                hint="Convert such files to UTF-8 first.",
            )
        return (record.decode(encoding, errors) for record in self.lines())

    def read_bytes(self) -> bytes:
        """Return all records in one piece: for slices that fit into memory, decoded."""
        return b"".join(self.blocks())

    def bad(self, record: bytes | str, why: str = "") -> None:
        """Say that a record can't be used, and why: a run over files skips it, keeps it aside or fails, as it was told.

        Raises BadRecord where no run says otherwise.
        """
        shown = record if isinstance(record, str) else record.decode(errors="backslashreplace")
        raise BadRecord(
            f"{self.path} has a bad record: {why or 'it could not be used'}",
            why=f"It is {shown[:200]!r}.",
            hint="A run over files can leave such out: --bad skip, or --bad sidecar.",
            path=str(self.path),
        )

    def blocks(self, size: int = _BLOCK) -> Iterator[bytes]:
        """Yield the records in blocks of many, each of whole records: what fast code wants.

        A block has about `size` bytes, or, in a compressed file, what its format has in one piece.
        """
        with Stored(self.path) as stored:
            opened = self.identity.require(stored)
            try:
                with closing(snapped(self._pieces(stored, size), self._records(), whole=self.start == 0)) as blocks:
                    yield from blocks
            except FileDamaged:
                opened.require(stored)  # rewritten under our hands: that is the cause then
                raise
            opened.require(stored)

    def _records(self) -> Records:
        return records_of(self.separator, self.begins)

    def _pieces(self, stored: Stored, size: int) -> Pieces:
        if self.end == 0:
            return ()
        archive = archive_of(stored, self.index)
        if archive is None:
            return _plain_pieces(stored, self._records(), self.start, self.end, max(size, 2 * _LINE))
        return unit_pieces(archive, self.start, self.end, self.identity.size)


def _plain_pieces(stored: Stored, records: Records, start: int, end: int, most: int) -> Iterator[tuple[bytes, bool]]:
    """Yield a plain file's bytes from the mark before `start` on, so that a boundary right there is found.

    The end is taken back by a mark likewise: a file that ended with a whole record, and has grown, is
    read up to there. Pieces end with a record where that is cheap to see: then nothing is copied.
    """
    at, until = max(0, start - records.mark), end - records.mark
    while at < until:
        size = min(most, until - at)
        if size == most:
            size -= _LINE - (records.last(stored.read(at + size - _LINE, _LINE)) or _LINE)
        data = stored.read(at, size)
        if not data:
            return
        yield data, True
        at += len(data)
    while data := stored.read(at, _LINE):
        yield data, False
        at += len(data)
