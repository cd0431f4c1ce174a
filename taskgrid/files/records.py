r"""Where one record ends and the next begins.

A boundary lies between two records. It is known by a *mark*: the separator before it, or, for records
that a regular expression begins, the newline before their first line. Whether a place is a boundary
depends on nothing but the bytes around it, so that two readers who come from different sides agree.
Therefore a separator may not overlap itself: in `xaaay` nobody could say which two are the `aa`.

Knows bytes in memory, and nothing of files or slices.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from taskgrid.errors import UsageError

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


class Records(Protocol):
    """Finds boundaries. `complete` says that nothing follows the data, as at a file's end."""

    mark: int
    """Bytes of the mark that stands before a boundary."""

    def first(self, data: bytes, start: int = 0, *, complete: bool = False) -> int:
        """Return the first boundary whose mark begins at or after `start`; 0 if none is known yet."""

    def last(self, data: bytes) -> int:
        """Return the last boundary that is known to be one; 0 if there is none."""

    def decided(self, data: bytes) -> int:
        """Return how many bytes hold no more marks than are known, whatever follows."""

    def split(self, block: bytes) -> Iterable[bytes]:
        """Yield the records of a block that begins and ends at boundaries."""


def records_of(separator: str, begins: str | None) -> Records:
    """Return what finds the boundaries of records that end with a separator or begin with a pattern; UsageError."""
    return Separated(separator.encode()) if begins is None else Begun(begins)


class Separated:
    """Records that end with a separator, which belongs to them; the last one may lack it."""

    def __init__(self, separator: bytes) -> None:
        if not separator:
            raise UsageError("a record's separator can't be empty", hint="The usual one is a newline.")
        if any(separator.endswith(separator[:size]) for size in range(1, len(separator))):
            raise UsageError(
                f"the separator {separator!r} overlaps itself",
                why="Two readers that meet in the middle of a file could not agree where a record ends.",
                hint="Say with `begins` how a record's first line begins instead.",
            )
        self.mark = len(separator)
        self._separator = separator

    def first(self, data: bytes, start: int = 0, *, complete: bool = False) -> int:
        del complete  # a separator is one whatever follows
        found = data.find(self._separator, start)
        return found + self.mark if found >= 0 else 0

    def last(self, data: bytes) -> int:
        found = data.rfind(self._separator)
        return found + self.mark if found >= 0 else 0

    def decided(self, data: bytes) -> int:
        return max(0, len(data) - self.mark + 1)

    def split(self, block: bytes) -> Iterable[bytes]:
        if self._separator == b"\n":
            return io.BytesIO(block)  # whose iterator is C, and as fast as a file's
        return self._split(block)

    def _split(self, block: bytes) -> list[bytes]:
        *whole, rest = block.split(self._separator)
        records = [part + self._separator for part in whole]
        return [*records, rest] if rest else records


class Begun:
    """Records whose first line matches a pattern; other lines go with the record before them."""

    mark = 1

    def __init__(self, pattern: str) -> None:
        try:
            self._match = re.compile(pattern.encode()).match
        except re.error as error:
            raise UsageError(f"{pattern!r} is not a regular expression: {error}") from None

    def first(self, data: bytes, start: int = 0, *, complete: bool = False) -> int:
        newline = data.find(b"\n", start)
        while newline >= 0:
            end = data.find(b"\n", newline + 1)
            if end < 0:
                line = data[newline + 1 :]
                return newline + 1 if complete and line and self._match(line) else 0
            if self._match(data[newline + 1 : end]):
                return newline + 1
            newline = end
        return 0

    def last(self, data: bytes) -> int:
        end = data.rfind(b"\n")
        while end > 0:
            newline = data.rfind(b"\n", 0, end)
            if newline >= 0 and self._match(data[newline + 1 : end]):
                return newline + 1
            end = newline
        return 0

    def decided(self, data: bytes) -> int:
        newline = data.rfind(b"\n")
        return newline if newline >= 0 else len(data)

    def split(self, block: bytes) -> Iterator[bytes]:
        begin = 0
        while begin < len(block):
            end = self.first(block, begin, complete=True) or len(block)
            yield block[begin:end]
            begin = end
