"""A file as it is stored: open for reading at any offset, and sure to be a file.

Knows bytes and where they lie. What they mean, whether they are compressed and where a record ends,
others know.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from taskgrid.disks import require_within_bounds
from taskgrid.errors import FileCutShort, FileDamaged, UsageError

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_SCAN: Final = 256 << 10
"""Bytes searched at once: they stay in a core's cache."""
_KINDS: Final = {
    stat.S_IFDIR: ("a directory", "Name its files, as in `folder/*.log`."),
    stat.S_IFIFO: ("a FIFO", "Write it to a file first: a FIFO can be read once, and from its beginning only."),
}


class Stored:
    """A regular file, open for reading; a context manager. Safe to share: it has no position."""

    def __init__(self, path: Path) -> None:
        """Open a file; `OSError` if that can't be done, UsageError if it is no regular file."""
        self.path = path
        # Opening a FIFO for reading would wait for a writer.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            require_within_bounds(path, self._descriptor)
        except PermissionError:
            self.close()
            raise
        mode = self.stat().st_mode
        if not stat.S_ISREG(mode):
            self.close()
            what, hint = _KINDS.get(stat.S_IFMT(mode), ("a device or a socket", "Name a regular file."))
            raise UsageError(f"{path} is {what}, not a file", hint=hint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def stat(self) -> os.stat_result:
        """Return what the system says of the open file, whatever its name leads to by now."""
        return os.fstat(self._descriptor)

    def read(self, at: int, size: int) -> bytes:
        """Return `size` bytes from an offset on; fewer only at the file's end."""
        try:
            data = os.pread(self._descriptor, size, at)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        if len(data) in {0, size}:
            return data
        return data + self.read(at + len(data), size - len(data))

    def find(self, pattern: bytes, start: int, end: int) -> Iterator[int]:
        """Yield the offsets in [start, end) at which a pattern lies."""
        for base in range(start, end, _SCAN):
            data = self.read(base, min(_SCAN, end - base) + len(pattern) - 1)
            found = data.find(pattern)
            while found >= 0:
                yield base + found
                found = data.find(pattern, found + 1)

    def damaged(self, offset: int, why: str) -> FileDamaged:
        """Make the error that says where the file is damaged."""
        return FileDamaged(
            f"{self.path} is damaged: what begins at byte {offset} can't be read",
            why=f"{why}. What was read before is right.",
            hint="Get the file again, or see what a tool for its format can save.",
            path=str(self.path),
            offset=offset,
        )

    def cut_short(self) -> FileCutShort:
        """Make the error that says that the file ends too early."""
        offset = self.stat().st_size
        return FileCutShort(
            f"{self.path} is cut short: it ends at byte {offset}, in the middle of compressed data",
            why="A copy was broken off, or it is still being written. What was there has been read.",
            hint="Get the file again, or wait until it is complete.",
            path=str(self.path),
            offset=offset,
        )
