"""Matching lines as a task's result: packed, for logs are ten times as large as what they pack to.

What one result has no room for is asked for again, from where the last line ended. Knows blocks of
lines and a search, and nothing of runs.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import BaseModel, ConfigDict

from taskgrid.files import FileSlice
from taskgrid.lines.columns import lines_in
from taskgrid.logs.reading import Block, whole_lines
from taskgrid.logs.searching import Search

__all__ = ["Found"]

_ROOM: Final = 384 << 10
"""Packed bytes after which a result is full: with what is still in hand it stays, as text, under 1 MiB."""
_IN_HAND: Final = 64 << 10
"""Bytes that are packed at once."""
_LONGEST: Final = 128 << 10
"""Bytes of a line that are kept."""


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
        return zlib.decompress(self.packed).split(b"\n")[:-1] if self.packed else []


def excerpt(blocks: Iterable[Block], search: Search, *, after: int = 0, only_count: bool = False) -> Found:
    """Find matching lines in blocks that end where a line ends, from `after` bytes on.

    With `only_count` all are counted and none is kept. A line of more than 128 KiB is cut, and says so.
    """
    lines = hits = 0
    pack = _Pack()
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


class _Pack:
    """Lines on their way into a result."""

    def __init__(self) -> None:
        self._press = zlib.compressobj(level=1)
        self._packed = bytearray()
        self._in_hand = bytearray()

    def add(self, line: bytes) -> bool:
        """Take a line; return whether it was the last one that fits."""
        if len(line) > _LONGEST:
            line = line[:_LONGEST] + b"... (a line of %d bytes)" % len(line)
        self._in_hand += line
        self._in_hand += b"\n"
        if len(self._in_hand) < _IN_HAND:
            return False
        self._packed += self._press.compress(self._in_hand)
        self._in_hand.clear()
        return len(self._packed) >= _ROOM

    def end(self) -> bytes:
        """Return the lines, packed."""
        return bytes(self._packed) + self._press.compress(self._in_hand) + self._press.flush()
