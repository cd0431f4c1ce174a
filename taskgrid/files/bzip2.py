"""bzip2 blocks: units that begin at any bit, marked by 48 bits and checked by a CRC of their own.

A stream is a header of four bytes, blocks, an end mark and a CRC over the blocks' CRCs, padded to a
byte; streams follow each other. A block does not say how long it is: its end is the next mark, unless
these 48 bits are data by chance, and so an end counts only if the block decodes up to it. To decode
one by itself its bits are moved to a byte's beginning and made a stream of one block. (There is no
standard; the format is described in the comments of bzip2's own sources, and by Joe Tsai in "BZIP2: Format
Specification", 2016.)
"""

from __future__ import annotations

import bz2
from collections import deque
from collections.abc import Iterator
from typing import Final

from taskgrid.errors import FileError
from taskgrid.files.stored import Stored
from taskgrid.files.units import PIECE, Decoding

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_BLOCK: Final = 0x314159265359  # pi
_END: Final = 0x177245385090  # its square root
_MARK: Final = 48
_CHECKED_MARK: Final = 80
"""Bits of a mark and the CRC after it."""
_SHORTEST: Final = 14
"""Bytes of a stream without blocks."""
_LONGEST: Final = 1250 << 10
"""Stored bytes that a block of the largest kind may take, amply."""
_WINDOW: Final = 128 << 10


class Bzip2File:
    """A file of bzip2 streams."""

    span = 1  # a block's own CRC confirms it: no data is ever stored as it is

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def first(self) -> Bzip2Stream:
        return Bzip2Stream(self._stored, 0)

    def candidates(self, start: int, end: int) -> Iterator[Bzip2Block]:
        for bit in _marks(self._stored, start * 8, end * 8, (_BLOCK,)):
            yield Bzip2Block(self._stored, bit, None)

    def is_divisible(self) -> bool:
        return True


class Bzip2Stream:
    """A stream's header: a unit without data."""

    def __init__(self, stored: Stored, offset: int) -> None:
        self.offset = offset
        self._stored = stored

    def decode(self) -> Decoding:
        yield from ()
        begin = self._stored.read(self.offset, _SHORTEST)
        if not (b"BZh".startswith(begin[:3]) and begin[3:4] in b"123456789"):
            raise self._stored.damaged(self.offset, "No bzip2 stream begins here")
        if len(begin) < _SHORTEST:
            raise self._stored.cut_short()
        return Bzip2Block(self._stored, self.offset * 8 + 32, 0)


class Bzip2Block:
    """A block, or the end mark after the last one of a stream."""

    def __init__(self, stored: Stored, bit: int, checksum: int | None) -> None:
        """Say where its mark begins, and the checksum of its stream so far if that is known."""
        self.offset = bit // 8
        self._stored = stored
        self._bit = bit
        self._checksum = checksum

    def decode(self) -> Decoding:
        marked, size = _bits(self._stored, self._bit, _CHECKED_MARK)
        if size < _CHECKED_MARK:
            raise self._stored.cut_short()
        mark, checksum = marked >> 32, marked & 0xFFFFFFFF
        if mark == _END:
            return self._stream_end(checksum)
        if mark != _BLOCK:
            raise self._stored.damaged(self.offset, "No bzip2 block begins here")
        pieces, end = self._decoded(checksum)
        while pieces:
            yield pieces.popleft()
        return Bzip2Block(self._stored, end, None if self._checksum is None else _joined(self._checksum, checksum))

    def _stream_end(self, checksum: int) -> Bzip2Stream | None:
        if self._checksum not in {None, checksum}:
            raise self._stored.damaged(self.offset, "The stream's checksum does not hold: a block is missing")
        offset = (self._bit + _CHECKED_MARK + 7) // 8
        return Bzip2Stream(self._stored, offset) if self._stored.read(offset, 1) else None

    def _decoded(self, checksum: int) -> tuple[deque[bytes], int]:
        """Return the block's data, up to 45 MB, and the bit at which it ends."""
        beyond = self._bit + _LONGEST * 8
        for end in _marks(self._stored, self._bit + _CHECKED_MARK, beyond, (_BLOCK, _END)):
            pieces = _pieces(self._as_stream(end, checksum))
            if pieces is not None:
                return pieces, end
        raise self._no_end(beyond)

    def _as_stream(self, end: int, checksum: int) -> bytes:
        size = end - self._bit
        block, _ = _bits(self._stored, self._bit, size)
        padding = -(size + _CHECKED_MARK) % 8
        bits = (block << _CHECKED_MARK | _END << 32 | checksum) << padding
        return b"BZh9" + bits.to_bytes((size + _CHECKED_MARK + padding) // 8, "big")

    def _no_end(self, beyond: int) -> FileError:
        if (
            self._stored.stat().st_size * 8 < beyond
            and next(_marks(self._stored, self._bit + 1, beyond, (_END,)), None) is None
        ):
            return self._stored.cut_short()
        return self._stored.damaged(self.offset, "This bzip2 block's checksum does not hold")


def _pieces(stream: bytes) -> deque[bytes] | None:
    """Decode a stream; None if it is not sound and complete."""
    decoder = bz2.BZ2Decompressor()
    pieces: deque[bytes] = deque()
    try:
        while not decoder.eof:
            if decoder.needs_input and not stream:
                return None
            pieces.append(decoder.decompress(stream, PIECE))
            stream = b""
    except (OSError, ValueError):
        return None
    return pieces


def _joined(stream: int, block: int) -> int:
    return ((stream << 1 | stream >> 31) & 0xFFFFFFFF) ^ block


def _bits(stored: Stored, bit: int, size: int) -> tuple[int, int]:
    """Return bits as a number, and how many there were before the file's end."""
    first, last = bit // 8, (bit + size + 7) // 8
    data = stored.read(first, last - first)
    there = min(size, len(data) * 8 - bit % 8)
    if there <= 0:
        return 0, 0
    number = int.from_bytes(data, "big") >> (len(data) * 8 - bit % 8 - there)
    return number & ((1 << there) - 1), there


def _marks(stored: Stored, start: int, end: int, marks: tuple[int, ...]) -> Iterator[int]:
    """Yield the bits in [start, end) at which one of the marks begins."""
    for base in range(start // 8, (end + 7) // 8, _WINDOW):
        data = stored.read(base, _WINDOW + 6)
        if len(data) < 6:
            return
        found = sorted({bit for mark in marks for bit in _marks_in(data + b"\0", mark)})
        for bit in (base * 8 + bit for bit in found if bit < _WINDOW * 8):
            if start <= bit < end:
                yield bit


def _marks_in(data: bytes, mark: int) -> Iterator[int]:
    for shift in range(8):
        inner = (mark << (8 - shift)).to_bytes(7, "big")[1:6]  # the bytes that the mark fills whole
        at = data.find(inner, 1)
        while at >= 0:
            around = int.from_bytes(data[at - 1 : at + 6], "big") >> (8 - shift)
            if around & ((1 << _MARK) - 1) == mark and at + 6 <= len(data):
                yield (at - 1) * 8 + shift
            at = data.find(inner, at + 1)
