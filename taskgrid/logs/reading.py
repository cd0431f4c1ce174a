"""Blocks of whole lines, of whatever size they came, in memory that does not grow with the log.

Knows newlines, and neither files nor formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

__all__: list[str] = []  # made for other modules, not for workers to offer

Block = bytes | bytearray | memoryview

BLOCK: Final = 1 << 20
"""Bytes read at once: what is done per block is done for thousands of lines, and all of it fits a core's cache."""


def whole_lines(parts: Iterable[Block], *, size: int = BLOCK) -> Iterator[bytes]:
    """Yield blocks that end where a line ends as bytes, none much larger than `size`, each ending in a newline."""
    for part in parts:
        whole = part if isinstance(part, bytes) else bytes(part)
        if whole and not whole.endswith(b"\n"):
            whole += b"\n"
        yield from _cut(whole, size)


def _cut(whole: bytes, size: int) -> Iterator[bytes]:
    start = 0
    while len(whole) - start > 2 * size:
        end = whole.rfind(b"\n", start, start + size) + 1 or whole.index(b"\n", start + size) + 1
        yield whole[start:end]
        start = end
    if start < len(whole):
        yield whole[start:] if start else whole
