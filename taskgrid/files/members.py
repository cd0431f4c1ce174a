"""gzip members and zstd frames: units that begin at a byte and follow each other without a gap.

gzip: RFC 1952; zstd: RFC 8878. A file of one gzip member has one unit: it is split only with a seek
index (`seek_index`). bgzip's blocks are members, and a zstd skippable frame is a frame without data.
isal inflates three times as fast as zlib and is used where it is installed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from taskgrid.files.stored import Stored
from taskgrid.files.units import PIECE, Decoding, begins_several

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

GZIP_MAGIC: Final = b"\x1f\x8b\x08"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_READ: Final = 32 << 10
"""Stored bytes given to a decoder at once: what lies beyond a member's end is read again for the next."""
_GZIP_WRAPPED: Final = 31  # zlib's word for: a gzip header, a 32 KiB window, a checked trailer


def inflater() -> ModuleType:
    """Return the module that inflates: isal's if it is installed, else zlib."""
    try:
        return import_module("isal.isal_zlib")
    except ModuleNotFoundError:
        return zlib


def zstd_library() -> ModuleType:
    """Return the module that reads zstd; ModuleNotFoundError says how to get one."""
    for name in ("compression.zstd", "backports.zstd"):  # the first is Python's own from 3.14 on
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(
        "reading zstd files needs a library that is not installed here: pip install 'taskgrid[files]'"
    )


class GzipFile:
    """A file of gzip members."""

    span = 64 << 10

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._library = inflater()

    def first(self) -> GzipMember:
        return GzipMember(self._stored, 0, self._library)

    def candidates(self, start: int, end: int) -> Iterator[GzipMember]:
        for offset in self._stored.find(GZIP_MAGIC, start, end):
            yield GzipMember(self._stored, offset, self._library)

    def is_divisible(self) -> bool:
        return begins_several(self)


class GzipMember:
    """One gzip member; zero bytes after it are padding."""

    def __init__(self, stored: Stored, offset: int, library: ModuleType) -> None:
        self.offset = offset
        self._stored = stored
        self._library = library

    def decode(self) -> Decoding:
        decoder = self._library.decompressobj(_GZIP_WRAPPED)
        at = self.offset
        while not decoder.eof:
            data = self._stored.read(at, _READ)
            at += len(data)
            ended = not data
            while (data or ended) and not decoder.eof:
                decoded = self._decoded(decoder, data)
                if decoded:
                    yield decoded
                elif ended:
                    raise self._stored.cut_short()
                data = decoder.unconsumed_tail
        return self._after(at - len(decoder.unused_data))

    def _decoded(self, decoder: Any, data: bytes) -> bytes:
        try:
            decoded: bytes = decoder.decompress(data, PIECE)
        except (zlib.error, getattr(self._library, "IsalError", zlib.error)) as error:
            raise self._stored.damaged(self.offset, f"This is no sound gzip member: {_reason(error)}") from None
        return decoded

    def _after(self, at: int) -> GzipMember | None:
        while data := self._stored.read(at, _READ):
            rest = data.lstrip(b"\0")
            at += len(data) - len(rest)
            if rest:
                return GzipMember(self._stored, at, self._library)
        return None


class ZstdFile:
    """A file of zstd frames, skippable ones among them."""

    span = 128 << 10

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._library = zstd_library()

    def first(self) -> ZstdFrame:
        return ZstdFrame(self._stored, 0, self._library)

    def candidates(self, start: int, end: int) -> Iterator[ZstdFrame]:
        for offset in self._stored.find(ZSTD_MAGIC, start, end):
            yield ZstdFrame(self._stored, offset, self._library)

    def is_divisible(self) -> bool:
        return begins_several(self)


class ZstdFrame:
    """One zstd frame."""

    def __init__(self, stored: Stored, offset: int, library: ModuleType) -> None:
        self.offset = offset
        self._stored = stored
        self._library = library

    def decode(self) -> Decoding:
        decoder = self._library.ZstdDecompressor()
        at = self.offset
        while not decoder.eof:
            data = self._stored.read(at, _READ) if decoder.needs_input else b""
            if decoder.needs_input and not data:
                raise self._stored.cut_short()
            at += len(data)
            decoded = self._decoded(decoder, data)
            if decoded:
                yield decoded
        at -= len(decoder.unused_data)
        return ZstdFrame(self._stored, at, self._library) if self._stored.read(at, 1) else None

    def _decoded(self, decoder: Any, data: bytes) -> bytes:
        try:
            decoded: bytes = decoder.decompress(data, PIECE)
        except self._library.ZstdError as error:
            raise self._stored.damaged(self.offset, f"This is no sound zstd frame: {_reason(error)}") from None
        return decoded


def _reason(error: Exception) -> str:
    return str(error).rpartition(": ")[2] or type(error).__name__
