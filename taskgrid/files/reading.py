"""A slice as a task over files is given it: it counts its records, and takes note of bad ones as the run wants it.

Both cost next to nothing per record: records are counted by the block, and where a bad one lies is found out
only when there is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final, TextIO

from pydantic import BaseModel, ConfigDict, PrivateAttr

from taskgrid.files.formats import archive_of
from taskgrid.files.output import Output, Written
from taskgrid.files.slices import FileSlice
from taskgrid.files.stored import Stored

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_SAMPLES: Final = 3
_SHOWN: Final = 200
"""Characters of a sample."""
_SCAN: Final = 64 << 10


class Bad(BaseModel):
    """A record that could not be used."""

    model_config = ConfigDict(frozen=True)

    path: Path
    offset: int | None
    """Where it begins in the data, decoded; None where that is not known: in the middle of a compressed file."""
    why: str
    record: str


class Notes:
    """What a run wants to know of a slice beside its function's value."""

    def __init__(self, *, strict: bool = False, aside: Path | None = None) -> None:
        """Raise at the first bad record if `strict`; write bad records to `aside` if that is given."""
        self.records: int | None = None
        """Records that were read; None if the function read them in blocks, which nobody counts."""
        self.bad = 0
        self.samples: list[Bad] = []
        self.strict = strict
        self._aside = None if aside is None else Output(path=aside)
        self._file: TextIO | None = None

    def add(self, bad: Bad) -> None:
        """Take note of a bad record."""
        self.bad += 1
        if len(self.samples) < _SAMPLES:
            self.samples.append(bad.model_copy(update={"record": bad.record[:_SHOWN]}))
        if self._aside is not None:
            self._file = self._file or self._aside.open("w")
            self._file.write(json.dumps(bad.model_dump(mode="json"), ensure_ascii=False) + "\n")

    def finish(self) -> Written | None:
        """Return what was written aside."""
        return None if self._aside is None else self._aside.finish()

    def discard(self) -> None:
        """Forget what was written aside."""
        if self._aside is not None:
            self._aside.discard()


class Noted(FileSlice):
    """A slice that takes notes."""

    _notes: Notes = PrivateAttr(default_factory=Notes)
    _block: bytes = PrivateAttr(default=b"")
    """The records that are being given out."""
    _block_at: int = PrivateAttr(default=0)
    """Where they begin, counted from the slice's first record."""
    _searched: int = PrivateAttr(default=0)
    """How far into them bad ones were found."""
    _encoding: str = PrivateAttr(default="utf-8")

    @classmethod
    def of(cls, plain: FileSlice, notes: Notes) -> Noted:
        """Return the slice, with notes to be taken."""
        noted = cls.model_construct(**vars(plain))
        noted._notes = notes  # noqa: SLF001  # its own
        return noted

    def lines(self) -> Iterator[bytes]:
        """Yield the records, as a slice without notes does."""
        self._notes.records, self._block, self._block_at = 0, b"", 0
        return chain.from_iterable(map(self._counted, self.blocks()))

    def text(self, encoding: str = "utf-8", errors: str = "strict") -> Iterator[str]:
        """Yield the records as text, as a slice without notes does."""
        self._encoding = encoding
        return super().text(encoding, errors)

    def bad(self, record: bytes | str, why: str = "") -> None:
        """Take note of a bad record, as the run was told to."""
        if self._notes.strict:
            super().bad(record, why)
        raw = record.encode(self._encoding, "replace") if isinstance(record, str) else record
        text = raw.decode(self._encoding, "backslashreplace")
        self._notes.add(Bad(path=self.path, offset=self._offset_of(raw), why=why, record=text))

    def _counted(self, block: bytes) -> list[bytes]:
        self._block_at += len(self._block)
        self._block, self._searched = block, 0
        records = list(self._records().split(block))  # costs less than counting marks does
        self._notes.records = (self._notes.records or 0) + len(records)
        return records

    def _offset_of(self, record: bytes) -> int | None:
        """Return where the record lies, looking from the last bad one on: what is alike and came before is bad too."""
        found = self._block.find(record, self._searched) if record else -1
        first = self._first() if found >= 0 else None
        if first is None:
            return None
        self._searched = found + len(record)
        return first + self._block_at + found

    def _first(self) -> int | None:
        """Return where the slice's first record begins; None if that can't be said without decoding what precedes."""
        if self.start == 0:
            return 0
        records = self._records()
        with Stored(self.path) as stored:
            if archive_of(stored, self.index) is not None:
                return None
            at, data = self.start - records.mark, b""
            while not (cut := records.first(data)) and (more := stored.read(at + len(data), _SCAN)):
                data += more
        return at + cut
