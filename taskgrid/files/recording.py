"""What a run leaves behind as it goes: its ledger's records, outputs under their names, files that appear whole."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import BinaryIO, Final, Self

from taskgrid.files import remembered as kept
from taskgrid.files.closing import publish
from taskgrid.files.execution import FileEnded
from taskgrid.files.ledger import Ledger
from taskgrid.files.manifest import Row
from taskgrid.files.output import Written
from taskgrid.files.remembered import OpenRun
from taskgrid.files.results import FileResult

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_AT_ONCE: Final = 200
"""Files that are recorded in one transaction."""
_RECORD_EVERY: Final = 1.0
"""Seconds."""


class Recorder:
    """Keeps what came of files some at a time, publishes it then, and ends the run if all of it was kept."""

    def __init__(self, ledger: Ledger, run: OpenRun | None) -> None:
        self._ledger = ledger
        self._run = run
        self._waiting: list[kept.Done | kept.Failed] = []
        self._recorded_at = time.monotonic()

    def add(self, ended: kept.Done | kept.Failed) -> None:
        """Keep it, sooner or later."""
        self._waiting.append(ended)
        if len(self._waiting) >= _AT_ONCE or time.monotonic() > self._recorded_at + _RECORD_EVERY:
            self._record()

    def _record(self) -> None:
        if self._run is None or not self._waiting:
            return
        self._ledger.record(self._run, self._waiting)
        outputs = [output for each in self._waiting if isinstance(each, kept.Done) for output in each.outputs]
        for output in outputs:
            publish(as_written(output))
        if outputs:
            self._ledger.published([output.target for output in outputs])
        self._waiting.clear()
        self._recorded_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._record()
        if kind is None and self._run is not None:
            self._ledger.end(self._run)


def as_done(ended: FileEnded, file: FileResult) -> kept.Done:
    outputs = tuple(kept.Written(each.target, each.temporary, each.bytes, each.checksum) for each in file.written)
    return kept.Done(ended.planned.number, file.value, outputs, file.manifest)


def as_written(kept_: kept.Written) -> Written:
    return Written(temporary=kept_.temporary, target=kept_.target, bytes=kept_.bytes, checksum=kept_.checksum)


class Replacing:
    """A file that appears when it is whole; nothing without a path."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._sum = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Self:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.with_name(f"{self._path.name}.unfinished").open("wb")
        return self

    def write(self, data: bytes) -> None:
        """Append."""
        if self._file is not None:
            self._file.write(data)
            self._sum.update(data)
            self._size += len(data)

    def row(self) -> Row | None:
        """Return what a manifest says of it."""
        if self._path is None:
            return None
        return Row(output=self._path, size=self._size, checksum=self._sum.hexdigest())

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._path is None or self._file is None:
            return
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
        if kind is None:
            Path(self._file.name).replace(self._path)
