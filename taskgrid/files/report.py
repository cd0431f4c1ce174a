"""What a run has come to so far, for people and for programs that go on from there."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from taskgrid.files.execution import FileEnded

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


@dataclass(slots=True)
class Report:
    """What a run has come to so far."""

    files: int = 0
    """All that the patterns lead to."""
    done: int = 0
    """Read in this run, and remembered now."""
    unchanged: int = 0
    """Done in an earlier run, and not read again."""
    failed: int = 0
    """Without a result, those that failed in an earlier run and were not tried again included."""
    slices: int = 0
    """Of the files that this run has read."""
    bytes: int = 0
    """Stored bytes that this run has read."""
    records: int | None = 0
    """None if a function read in blocks, which nobody counts."""
    bad: int = 0
    """Records that the function could not use."""
    seconds: float = 0.0

    def add(self, ended: FileEnded) -> None:
        """Enter a file that was read."""
        self.done += 1
        self.slices += len(ended.pieces)
        self.bytes += sum(piece.bytes for piece in ended.pieces)
        self.bad += sum(piece.bad for piece in ended.pieces)
        for piece in ended.pieces:
            unknown = self.records is None or piece.records is None
            self.records = None if unknown else (self.records or 0) + (piece.records or 0)


class Trouble(NamedTuple):
    """A file without a result."""

    path: Path
    cause: str
    sample: str = ""


class Progress(NamedTuple):
    """How far a run's job is. Slices are handed out in order, so the first that many are taken as ended."""

    files: int
    all_files: int
    bytes: int
    all_bytes: int
    failed: int
    """Slices."""
    waiting: str
    """Why nothing runs; empty if something does."""


def nothing_yet(waiting: str) -> Progress | None:
    """Return the progress of what has not begun, if there is a reason why it doesn't."""
    return Progress(0, 0, 0, 0, 0, waiting) if waiting else None


class Weights:
    """What the slices of a job weigh: eight bytes for each, and for each file."""

    def __init__(self) -> None:
        self._bytes = array("Q", [0])
        self._files = array("Q")

    def add(self, slices: Iterable[tuple[int, int]]) -> None:
        """Enter the slices of the next file."""
        for start, end in slices:
            self._bytes.append(self._bytes[-1] + end - start)
        self._files.append(len(self._bytes) - 1)

    def progress(self, ended: int, failed: int, waiting: str) -> Progress:
        """Return how far the job is when so many of its tasks have ended."""
        at = min(ended, len(self._bytes) - 1)
        files = bisect_right(self._files, at)
        return Progress(files, len(self._files), self._bytes[at], self._bytes[-1], failed, waiting)
