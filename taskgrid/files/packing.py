"""Many lines as one result of a task: packed, for names and logs are several times as large as what they pack to."""

from __future__ import annotations

import zlib
from typing import Final

from taskgrid.errors import TaskGridError

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

ROOM: Final = 512 << 10
"""Packed bytes after which a pack is full: with what is still in hand it stays, as text, under 1 MiB."""
_IN_HAND: Final = 64 << 10
"""Bytes that are packed at once."""
MOST: Final = 16 << 20
"""Bytes of lines after which a pack is full, however small: who unpacks it must hold them."""
LONGEST: Final = 64 << 10
"""Bytes of a line that are kept."""


class Pack:
    """Lines on their way into a result."""

    def __init__(self) -> None:
        self._press = zlib.compressobj(level=1)
        self._packed = bytearray()
        self._in_hand = bytearray()
        self._taken = 0

    def add(self, line: bytes) -> bool:
        """Take a line, cut if it is longer than `LONGEST`; return whether it was the last one that fits."""
        if len(line) > LONGEST:
            line = line[:LONGEST] + b"... (a line of %d bytes)" % len(line)
        self._in_hand += line
        self._in_hand += b"\n"
        if len(self._in_hand) < _IN_HAND:
            return False
        self._packed += self._press.compress(self._in_hand)
        self._taken += len(self._in_hand)
        self._in_hand.clear()
        return len(self._packed) >= ROOM or self._taken >= MOST

    def end(self) -> bytes:
        """Return the lines, packed."""
        return bytes(self._packed) + self._press.compress(self._in_hand) + self._press.flush()


def unpacked(packed: bytes) -> list[bytes]:
    """Return the lines of a pack; TaskGridError for one that `Pack` did not make."""
    if not packed:
        return []
    press = zlib.decompressobj()
    try:
        lines = press.decompress(packed, MOST + LONGEST + _IN_HAND + 100)
    except zlib.error as error:
        raise TaskGridError("a result can't be unpacked", why=str(error)) from None
    if not press.eof:
        raise TaskGridError("a result can't be unpacked", why="It holds more than a result may, or ends too early.")
    return lines.split(b"\n")[:-1]
