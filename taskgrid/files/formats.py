"""What format a file has, as its first bytes say; its name counts only where they can't.

A file that is too short to tell, or whose first bytes are no text though its name ends in `.gz` or the
like, is a damaged one of that format, not a plain one: nothing is read as what it is not. A text file
with such a name is text.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from taskgrid.files.bzip2 import Bzip2File
from taskgrid.files.members import GZIP_MAGIC, ZSTD_MAGIC, GzipFile, ZstdFile
from taskgrid.files.seek_index import IndexedGzip, SeekIndex
from taskgrid.files.stored import Stored
from taskgrid.files.units import Archive
from taskgrid.files.xz import XZ_MAGIC, XzFile

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_HEAD: Final = 4 << 10
_BZIP2_BEGINS: Final = tuple(
    b"BZh%d" % level + mark for level in range(1, 10) for mark in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
)
_SKIPPABLE: Final = tuple(bytes((first, 0x2A, 0x4D, 0x18)) for first in range(0x50, 0x60))
_FORMATS: Final[tuple[tuple[str, tuple[bytes, ...], Callable[[Stored], Archive]], ...]] = (
    (".gz", (GZIP_MAGIC,), GzipFile),
    (".bz2", _BZIP2_BEGINS, Bzip2File),
    (".xz", (XZ_MAGIC,), XzFile),
    (".zst", (ZSTD_MAGIC, *_SKIPPABLE), ZstdFile),
)
_CONTROL: Final = bytes(byte for byte in range(0x20) if byte not in b"\b\t\n\v\f\r\x1b")


def archive_of(stored: Stored, index: Path | None = None) -> Archive | None:
    """Return what decodes an open file, None for a plain one; through its seek index, if one is given.

    Raises FileDamaged, or ModuleNotFoundError for zstd without its library.
    """
    if index is not None:
        return IndexedGzip(stored, SeekIndex.read(index))
    head = stored.read(0, _HEAD)
    for suffix, magics, archive in _FORMATS:
        if head.startswith(magics) and (archive is not ZstdFile or _has_frame(stored, head)):
            return archive(stored)
        if stored.path.suffix == suffix:
            _require_text(stored, head, magics)
    return None


def _has_frame(stored: Stored, head: bytes) -> bool:
    """Say whether a zstd frame begins the file, or follows the skippable ones that do: text may look like one."""
    at = 0
    while head.startswith(_SKIPPABLE) and len(head) >= 8:
        at += 8 + int.from_bytes(head[4:8], "little")
        head = stored.read(at, 8)
    return head.startswith(ZSTD_MAGIC) or stored.path.suffix == ".zst"


def _require_text(stored: Stored, head: bytes, magics: tuple[bytes, ...]) -> None:
    if head and any(magic.startswith(head) for magic in magics):
        raise stored.cut_short()
    if head.translate(None, _CONTROL) != head:
        raise stored.damaged(0, f"Its name ends in {stored.path.suffix}, and its first bytes are neither that nor text")
