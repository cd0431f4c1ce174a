"""From a file, or from somebody else's blocks, to blocks of whole lines in memory that does not grow with the file.

Knows newlines, and gzip by its first bytes; no format.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

__all__: list[str] = []  # made for other modules, not for workers to offer

Block = bytes | bytearray | memoryview

BLOCK: Final = 1 << 20
"""Bytes read at once: what is done per block is done for thousands of lines, and all of it fits a core's cache."""
LONGEST_LINE: Final = 16 << 20
"""Bytes: a longer line is bad, whatever it holds."""

_GZIP: Final = b"\x1f\x8b\x08"


def file_blocks(path: Path) -> Iterator[bytes]:
    """Yield a file's lines in blocks; `OSError`, `EOFError` or `zlib.error` if it can't be read to its end."""
    with _opened(path) as stream:
        yield from blocks(stream)


def blocks(stream: BinaryIO, *, size: int = BLOCK, longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """Yield the stream in blocks of whole lines, about `size` bytes each; a last line without newline gets one."""
    rest = b""
    while read := stream.read(size):
        cut = read.rfind(b"\n") + 1
        if cut:
            yield b"".join((rest, memoryview(read)[:cut]))
            rest = read[cut:]
        elif len(rest) + len(read) <= longest:
            rest += read
        else:
            rest = b" "  # no good line begins so: it stays bad to its end, and takes no memory
    if rest:
        yield rest + b"\n"


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


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        compressed = stream.read(len(_GZIP)) == _GZIP
    # A GzipFile reads like a BinaryIO; its class just isn't declared as one.
    return cast(BinaryIO, gzip.open(path, "rb")) if compressed else path.open("rb", buffering=0)
