"""Seek indexes: places inside a gzip file of one long member from which it can be decoded.

A point holds a stored offset (to the bit: deflate's blocks begin anywhere), the decoded offset it
stands for, and the 32 KiB of data before it, which what follows may refer to. The span from a point to
the next is the unit; it has a CRC of its own, since the member's covers only the whole. So a span is
checked as strictly as a bzip2 block, and what an index says is never believed.

An index is built once, by `build`, in two passes: indexed_gzip (Paul McCarthy's, over zlib's zran)
finds the points, then an ordinary decoder checks every member to its end and takes the spans' CRCs.
The first alone won't do: it takes a file that was cut short for a complete one. Reading needs neither.

An index file is: a magic line; a line of JSON (the gzip file's identity, the number of points, a CRC of
the table); the table, a fixed number of bytes per point; the windows, compressed. A reader holds the
table and one window. It is named by the identity of its file, so that a changed file finds none.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Self

from taskgrid.disks import require_within_bounds
from taskgrid.errors import FileError
from taskgrid.files.identity import Identity
from taskgrid.files.members import GzipFile, inflater
from taskgrid.files.stored import Stored
from taskgrid.files.units import PIECE, Decoding, unit_pieces

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_MAGIC: Final = b"TaskGrid seek index 1\n"
_POINT: Final = struct.Struct("<QQQIIB")
_READ: Final = 64 << 10
_SPACING: Final = 4 << 20
"""Decoded bytes between two points, at least: then an index has under 1 % of the decoded data's size."""
_MOST_POINTS: Final = 1000
"""About as many points as are made at most: indexed_gzip holds all their windows, 32 MiB."""
_SAMPLE: Final = 4 << 20
"""Stored bytes that tell how far a file compresses."""
_WINDOW: Final = 32 << 10
"""Bytes of data before a point that what follows may refer to, as deflate has it."""
_RAW: Final = -15  # zlib's word for: deflate without any header, a 32 KiB window


class Point(NamedTuple):
    """A place to begin at, and what lies between it and the next."""

    offset: int
    size: int
    """Decoded bytes up to the next point."""
    window_at: int
    window_size: int
    checksum: int
    bits: int
    """How many bits of the stored byte before `offset` belong to it, counted from the highest."""


class SeekIndex:
    """An index file's table, read; safe to keep."""

    def __init__(self, path: Path, identity: Identity, table: bytes) -> None:
        self.path = path
        self.identity = identity
        self._table = table

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an index; `OSError` if there is none, `ValueError` if it is none."""
        with path.open("rb") as file:
            require_within_bounds(path, file.fileno())
            if file.readline(len(_MAGIC)) != _MAGIC:
                raise ValueError(f"{path} is no seek index")
            about = json.loads(file.readline(4096))
            table = file.read(about["points"] * _POINT.size)
        if zlib.crc32(table) != about["checksum"] or not table:
            raise ValueError(f"{path} is damaged")
        return cls(path, Identity.model_validate(about["identity"]), table)

    def __len__(self) -> int:
        return len(self._table) // _POINT.size

    def __getitem__(self, number: int) -> Point:
        offset, size, window_at, window_size, checksum, bits = _POINT.unpack_from(self._table, number * _POINT.size)
        return Point(offset, size, window_at, window_size, checksum, bits)

    def window(self, point: Point) -> bytes:
        """Return the data before a point; `OSError` or `zlib.error` if the file is not what it was."""
        with self.path.open("rb") as file:
            file.seek(point.window_at)
            return zlib.decompress(file.read(point.window_size)) if point.window_size else b""


class IndexedGzip:
    """A gzip file with its seek index."""

    span = 0  # the spans' own checksums hold or fail, wherever they begin

    def __init__(self, stored: Stored, index: SeekIndex) -> None:
        self._stored = stored
        self._index = index

    def first(self) -> IndexedSpan:
        return IndexedSpan(self._stored, self._index, 0)

    def candidates(self, start: int, end: int) -> Iterator[IndexedSpan]:
        number = bisect_left(range(len(self._index)), start, key=lambda each: self._index[each].offset)
        if number < len(self._index) and self._index[number].offset < end:
            yield IndexedSpan(self._stored, self._index, number)

    def is_divisible(self) -> bool:
        return len(self._index) > 1


class IndexedSpan:
    """What lies between two points of an index."""

    def __init__(self, stored: Stored, index: SeekIndex, number: int) -> None:
        self._point = index[number]
        # The first unit begins the file, whatever bytes of the format stand before it.
        self.offset = self._point.offset if number else 0
        self._stored = stored
        self._index = index
        self._number = number

    def decode(self) -> Decoding:
        left, checksum = self._point.size, 0
        for data in self._inflated():
            left -= len(data)
            checksum = zlib.crc32(data, checksum)
            yield data
        if left or checksum != self._point.checksum:
            raise self._stored.damaged(self.offset, f"These bytes are not what {self._index.path} was made of")
        following = self._number + 1
        return IndexedSpan(self._stored, self._index, following) if following < len(self._index) else None

    def _inflated(self) -> Iterator[bytes]:
        library = inflater()
        try:
            window = self._index.window(self._point)
            decoder = library.decompressobj(_RAW, zdict=window) if window else library.decompressobj(_RAW)
            left = self._point.size
            for read in self._bytes_from_point():
                data = read
                while data and left:
                    decoded = decoder.decompress(data, min(PIECE, left))
                    left -= len(decoded)
                    data = decoder.unconsumed_tail
                    yield decoded
                if not left:
                    return
        except (zlib.error, getattr(library, "IsalError", zlib.error)):
            return  # what is missing is noticed

    def _bytes_from_point(self) -> Iterator[bytes]:
        """Yield the stored bits from the point on, moved to a byte's beginning."""
        at, bits = self._point.offset, self._point.bits
        while True:
            data = self._stored.read(at - (bits > 0), _READ + (bits > 0))
            if len(data) <= (bits > 0):
                return
            size = len(data) - (bits > 0)
            at += size
            if bits:
                number = int.from_bytes(data, "little") >> (8 - bits)
                data = (number & ((1 << size * 8) - 1)).to_bytes(size, "little")
            yield data


def place_of(identity: Identity, folder: Path) -> Path:
    """Return where the index of a file lies in a folder: the same name on every machine."""
    key = f"{identity.size} {identity.mtime_ns} {identity.head}"
    return folder / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.seek"


def index_for(stored: Stored, folder: Path) -> SeekIndex | None:
    """Return the index of an open file from a folder, None if there is none that can be used."""
    try:
        index = SeekIndex.read(place_of(Identity.of(stored), folder))
    except (OSError, ValueError, KeyError):
        return None
    return index if index.identity.is_of(stored) else None


def build(stored: Stored, folder: Path) -> Path:
    """Make the index of an open gzip file in an existing folder and return its place.

    Does nothing if it is there. Raises FileDamaged if the gzip file is, ModuleNotFoundError without
    indexed_gzip. Of two that build at the same time one wins, with the same index.
    """
    identity = Identity.of(stored)
    place = place_of(identity, folder)
    if index_for(stored, folder) is not None:
        return place
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made, raw = Path(scratch, "index"), Path(scratch, "points")
        points = _points(stored, raw)
        spans = list(_checked(stored, points))
        with raw.open("rb") as windows, made.open("wb") as file:
            _write(file, identity, spans, windows)
        identity.require(stored)
        made.replace(place)
    return place


class _Found(NamedTuple):
    """A point as indexed_gzip found it."""

    offset: int
    decoded: int
    bits: int
    window_at: int | None
    """Where in its index file the window lies; at a member's beginning there is none."""


_FOUND_HEADER: Final = struct.Struct("<5sBBQQIII")
_FOUND: Final = struct.Struct("<QQBB")


def _points(stored: Stored, raw: Path) -> list[_Found]:
    """Let indexed_gzip find the points; it writes its own kind of index into a scratch file."""
    try:
        library: Any = import_module("indexed_gzip")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "building a seek index needs a library that is not installed here: pip install 'taskgrid[files]'"
        ) from None
    try:
        with library.IndexedGzipFile(str(stored.path), spacing=_spacing(stored), readbuf_size=_READ) as file:
            file.build_full_index()
            file.export_index(str(raw))
    except (OSError, EOFError, library.ZranError) as error:
        for _ in _decoded(stored):
            pass  # a damaged file says so better
        raise FileError(f"no seek index of {stored.path} could be built", why=str(error)) from None
    return _parsed(raw)


def _spacing(stored: Stored) -> int:
    size = stored.stat().st_size
    decoded, stored_part = 0, min(size, _SAMPLE)
    decoder = inflater().decompressobj(31)
    try:
        data = stored.read(0, stored_part)
        while data and decoded < _SAMPLE * 100:
            decoded += len(decoder.decompress(data, PIECE))
            data = decoder.unconsumed_tail
    except Exception:  # noqa: BLE001  # a damaged beginning: `_checked` says what is wrong
        return _SPACING
    return max(_SPACING, decoded * size // max(1, stored_part) // _MOST_POINTS)


def _parsed(raw: Path) -> list[_Found]:
    """Read the points of an index as indexed_gzip exports it; its header file describes the format."""
    with raw.open("rb") as file:
        *_, window_size, count = _FOUND_HEADER.unpack(file.read(_FOUND_HEADER.size))
        table = file.read(count * _FOUND.size)
    window_at = _FOUND_HEADER.size + len(table)
    found = []
    for offset, decoded, bits, has_window in _FOUND.iter_unpack(table):
        found.append(_Found(offset, decoded, bits, window_at if has_window else None))
        window_at += window_size if has_window else 0
    return found


def _decoded(stored: Stored) -> Iterator[bytes]:
    size = stored.stat().st_size
    for data, _ in unit_pieces(GzipFile(stored), 0, size, size):
        yield data


def _checked(stored: Stored, points: list[_Found]) -> Iterator[tuple[_Found, int, int]]:
    """Decode the whole file; yield each point with the size and the checksum of what follows it up to the next."""
    bounds = [point.decoded for point in points[1:]]
    number, size, checksum = 0, 0, 0
    for data in _decoded(stored):
        at = 0
        while at < len(data):
            room = bounds[number] - points[number].decoded - size if number < len(bounds) else len(data)
            part = memoryview(data)[at : at + room]
            at, size, checksum = at + len(part), size + len(part), zlib.crc32(part, checksum)
            if number < len(bounds) and size == bounds[number] - points[number].decoded:
                yield points[number], size, checksum
                number, size, checksum = number + 1, 0, 0
    if number != len(bounds):
        raise FileError(f"no seek index of {stored.path} could be built", why="Two decoders disagree on its length.")
    yield points[number], size, checksum


def _write(file: BinaryIO, identity: Identity, spans: list[tuple[_Found, int, int]], raw: BinaryIO) -> None:
    windows = [_compressed(raw, point) for point, _, _ in spans]
    # The table's place depends on the line before it, whose length on the table's checksum: hence a fixed width.
    about = {"identity": identity.model_dump(), "points": len(spans), "checksum": 0}
    room = len(json.dumps(about)) + 10
    at = len(_MAGIC) + room + 1 + len(spans) * _POINT.size
    table = b""
    for (point, size, checksum), window in zip(spans, windows, strict=True):
        table += _POINT.pack(point.offset, size, at, len(window), checksum, point.bits)
        at += len(window)
    line = json.dumps(about | {"checksum": zlib.crc32(table)}).ljust(room)
    file.write(b"".join((_MAGIC, line.encode(), b"\n", table, *windows)))
    file.flush()
    os.fsync(file.fileno())


def _compressed(raw: BinaryIO, point: _Found) -> bytes:
    if point.window_at is None:
        return b""
    raw.seek(point.window_at)
    return zlib.compress(raw.read(_WINDOW), 1)
