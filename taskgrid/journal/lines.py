"""Lines of JSON as they are kept: one block of bytes, cut by number only where it must be.

A run that covers a whole block is the block itself. One that doesn't needs its lines apart; those
are kept for the next run, so that reading a block in parts costs in all one split. What the lines
say is never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from taskgrid.journal.cache import Cache
from taskgrid.journal.protocol import ChunkRow

LINE_WEIGHT: Final = 41
"""Bytes that a line takes when it stands alone, beside its own."""
ROW_WEIGHT: Final = 256
"""Bytes that a row counts for beside its lines, in memory and towards the limit of a read."""


def cut(lines: bytes, count: int, start: int, stop: int) -> bytes:
    """Return lines `start` to before `stop` of a block of `count`, joined by newlines."""
    if start == 0 and stop == count:
        return lines
    return b"\n".join(lines.split(b"\n", stop)[start:stop])


class Splits:
    """Cuts chunks in parts, and remembers those it has split lately."""

    def __init__(self, most: int) -> None:
        self._apart: Cache[Sequence[bytes]] = Cache(most)

    def run(self, job: int, chunk: ChunkRow, start: int, stop: int) -> bytes:
        """Return the lines of tasks `start` to before `stop` of their job, which must lie in `chunk`."""
        if stop - start == chunk.count:
            return chunk.lines
        apart = self._apart.get(job, chunk.first)
        if apart is None:
            apart = chunk.lines.split(b"\n")
            self._apart.put(job, chunk.first, apart, len(chunk.lines) + LINE_WEIGHT * chunk.count)
        if stop == chunk.first + chunk.count:
            self._apart.drop(job, chunk.first)
        return b"\n".join(apart[start - chunk.first : stop - chunk.first])

    def forget(self, job: int) -> None:
        """Drop what is remembered of a job."""
        self._apart.forget(job)
