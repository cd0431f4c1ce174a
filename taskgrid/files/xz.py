"""xz blocks, found by the index that each xz stream ends with.

The index says how long each block is, stored and decoded, and is read from the file's end backwards,
stream by stream. Without a sound one (the file is cut short, or its last bytes are damaged) the file is
read from its beginning, as one chain of streams. Most xz files have one block, since only `xz -T` and
`--block-size` make more. (The .xz File Format 1.2.1.)
"""

from __future__ import annotations

import lzma
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

from taskgrid.files.stored import Stored
from taskgrid.files.units import PIECE, Decoding

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

XZ_MAGIC: Final = b"\xfd7zXZ\x00"
_FRAME: Final = 12
"""Bytes of a stream's header, and of its footer."""
_LONGEST_INDEX: Final = 8 << 20
_READ: Final = 64 << 10
_MEMORY: Final = 100 << 20
"""Bytes that a decoder may take: `xz -9` needs 65 MiB."""


class _Entry(NamedTuple):
    offset: int
    stored: int
    decoded: int
    header: bytes


class XzFile:
    """An xz file: its blocks if its index can be read, else its streams."""

    span = 0  # an index is certain

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._entries = _entries(stored)

    def first(self) -> XzBlock | XzStream:
        return XzBlock(self._stored, self._entries, 0) if self._entries else XzStream(self._stored, 0)

    def candidates(self, start: int, end: int) -> Iterator[XzBlock]:
        number = max(1, bisect_left(self._entries, start, key=lambda entry: entry.offset))  # see `XzBlock`
        if number < len(self._entries) and self._entries[number].offset < end:
            yield XzBlock(self._stored, self._entries, number)

    def is_divisible(self) -> bool:
        return len(self._entries) > 1


class XzBlock:
    """One block, decoded behind its own stream's header."""

    def __init__(self, stored: Stored, entries: list[_Entry], number: int) -> None:
        # The first unit begins the file, whatever bytes of the format stand before it, and is `first`'s.
        self.offset = entries[number].offset if number else 0
        self._stored = stored
        self._entries = entries
        self._number = number

    def decode(self) -> Decoding:
        entry = self._entries[self._number]
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        _decoded(decoder, entry.header, self._stored, self.offset)
        left = entry.decoded
        at, end = entry.offset, entry.offset + entry.stored
        while at < end or not decoder.needs_input:
            data = self._stored.read(at, min(_READ, end - at)) if decoder.needs_input else b""
            at += len(data)
            decoded = _decoded(decoder, data, self._stored, self.offset)
            left -= len(decoded)
            if decoded:
                yield decoded
            elif not data:
                break
        if left or at < end:
            raise self._stored.damaged(self.offset, "This xz block is not as long as its index says")
        following = self._number + 1
        return XzBlock(self._stored, self._entries, following) if following < len(self._entries) else None


class XzStream:
    """One stream, decoded from its header to its footer: of a file that can't be entered anywhere else."""

    offset = 0
    """All of the file belongs to the slice that begins it, since no other finds a stream."""

    def __init__(self, stored: Stored, at: int) -> None:
        self._stored = stored
        self._at = at

    def decode(self) -> Decoding:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        at = self._at
        while not decoder.eof:
            data = self._stored.read(at, _READ) if decoder.needs_input else b""
            if decoder.needs_input and not data:
                raise self._stored.cut_short()
            at += len(data)
            decoded = _decoded(decoder, data, self._stored, self._at)
            if decoded:
                yield decoded
        return self._after(at - len(decoder.unused_data))

    def _after(self, at: int) -> XzStream | None:
        while (data := self._stored.read(at, 4)) == bytes(4):
            at += 4
        return XzStream(self._stored, at) if data else None


def _decoded(decoder: lzma.LZMADecompressor, data: bytes, stored: Stored, offset: int) -> bytes:
    try:
        return decoder.decompress(data, PIECE)
    except (lzma.LZMAError, EOFError) as error:
        raise stored.damaged(offset, f"This is no sound xz data: {error}") from None


def _entries(stored: Stored) -> list[_Entry]:
    """Return all blocks, none if not every index from the file's end to its beginning is sound."""
    found: list[_Entry] = []
    end = stored.stat().st_size
    while end > 0:
        while end >= 4 and stored.read(end - 4, 4) == bytes(4):  # padding between streams
            end -= 4
        try:
            begin, blocks = _stream_before(stored, end)
        except (ValueError, IndexError):
            return []
        found[:0] = blocks
        end = begin
    return found


def _stream_before(stored: Stored, end: int) -> tuple[int, list[_Entry]]:
    footer = stored.read(max(0, end - _FRAME), _FRAME)
    checksum, backward, flags, magic = struct.unpack("<II2s2s", footer.ljust(_FRAME, b"\0"))
    size = (backward + 1) * 4
    index_at = end - _FRAME - size
    if magic != b"YZ" or checksum != zlib.crc32(footer[4:10]) or size > _LONGEST_INDEX or index_at < _FRAME:
        raise ValueError("no footer")
    index = stored.read(index_at, size)
    if index[0] or int.from_bytes(index[-4:], "little") != zlib.crc32(index[:-4]):
        raise ValueError("no index")
    sizes = list(_sizes(index))
    begin = index_at - sum(-(-each // 4) * 4 for each, _ in sizes) - _FRAME
    header = stored.read(begin, _FRAME) if begin >= 0 else b""
    if header[:6] != XZ_MAGIC or header[6:8] != flags:
        raise ValueError("no header")
    return begin, list(_placed(sizes, begin + _FRAME, header))


def _placed(sizes: list[tuple[int, int]], at: int, header: bytes) -> Iterator[_Entry]:
    for unpadded, decoded in sizes:
        padded = -(-unpadded // 4) * 4
        yield _Entry(at, padded, decoded, header)
        at += padded


def _sizes(index: bytes) -> Iterator[tuple[int, int]]:
    """Yield each block's stored size without padding, and its decoded size."""
    count, at = _number(index, 1)
    for _ in range(count):
        unpadded, at = _number(index, at)
        decoded, at = _number(index, at)
        yield unpadded, decoded


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the lowest first; return it and where the next begins."""
    value = 0
    for shift in range(0, 63, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 63 bits")
