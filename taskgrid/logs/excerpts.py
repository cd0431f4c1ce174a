"""Matching lines as a task's result: packed, for logs are ten times as large as what they pack to.

What one result has no room for is asked for again, from where the last line ended. Knows blocks of
lines and a search, and nothing of runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict

from taskgrid.files import FileSlice
from taskgrid.files.packing import Pack, unpacked
from taskgrid.lines.columns import lines_in
from taskgrid.logs.reading import Block, whole_lines
from taskgrid.logs.searching import Search

__all__ = ["Found"]


class Found(BaseModel):
    """Matching lines of a slice, from some place on: as many as there is room for."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    lines: int
    """Lines searched."""
    hits: int
    """Lines that match."""
    packed: bytes = b""
    """Those lines, by zlib."""
    next: int | None = None
    """Bytes of the slice's records before what is still to be searched; None if all was."""
    source: FileSlice | None = None
    """What is still to be searched."""

    def found(self) -> list[bytes]:
        """Return the matching lines, without their ends."""
        return unpacked(self.packed)


def excerpt(blocks: Iterable[Block], search: Search, *, after: int = 0, only_count: bool = False) -> Found:
    """Find matching lines in blocks that end where a line ends, from `after` bytes on.

    With `only_count` all are counted and none is kept. A line of more than 64 KiB is cut, and says so.
    """
    lines = hits = 0
    pack = Pack()
    at = after
    for block in _from(whole_lines(blocks), after):
        for start, end in search.spans(block):
            hits += 1
            if not only_count and pack.add(block[start:end].removesuffix(b"\r")):
                rest = end + 1
                return Found(lines=lines + lines_in(block[:rest]), hits=hits, packed=pack.end(), next=at + rest)
        lines += lines_in(block)
        at += len(block)
    return Found(lines=lines, hits=hits, packed=pack.end() if hits and not only_count else b"")


def _from(blocks: Iterator[bytes], after: int) -> Iterator[bytes]:
    for block in blocks:
        if after < len(block):
            yield block[after:] if after else block
        after = max(0, after - len(block))
