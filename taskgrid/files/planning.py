"""Cuts files into slices, having read no more of them than their first bytes or their indexes.

What is cut: plain files, bzip2, xz with several blocks, gzip with several members (bgzip's too) and
zstd with several frames, if their beginning shows it, and any gzip file whose seek index there is. The rest is
one slice each, streamed. Knows sizes and formats, and nothing of jobs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from taskgrid.errors import FileDamaged, UsageError
from taskgrid.files.formats import archive_of
from taskgrid.files.identity import Identity
from taskgrid.files.members import GzipFile
from taskgrid.files.records import records_of
from taskgrid.files.seek_index import index_for
from taskgrid.files.slices import FileSlice
from taskgrid.files.stored import Stored
from taskgrid.functions.quantities import parse_size

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_AUTO: Final = 64 << 20
"""Bytes of a slice: some seconds of work, so that a task's own cost is nothing beside it."""

FilePath = str | os.PathLike[str]


def plan(
    paths: FilePath | Iterable[FilePath],
    split: int | str = "auto",
    *,
    separator: str = "\n",
    begins: str | None = None,
    indexes: FilePath | None = None,
) -> Iterator[FileSlice]:
    r"""Yield the slices of files, lazily, in order; an empty file has one.

    `split` is the most stored bytes of a slice: a number, text as "64MiB", "auto" (64 MiB) or "none".
    Records end with `separator` ("\n", "\r\n", "\0", …), or begin with a line that matches the regular
    expression `begins`, as a log entry with its stack trace does. `indexes` is a folder with seek
    indexes, as `build_index` makes them.

    Raises UsageError at once for a split or records that can't be, and `OSError` or UsageError when it
    comes to a file that can't be read or is none.
    """
    size = slice_size(split)
    records_of(separator, begins)
    folder = None if indexes is None else Path(indexes).absolute()
    return (
        FileSlice(path=path, start=start, end=end, identity=identity, separator=separator, begins=begins, index=index)
        for path in absolute(paths)
        for identity, count, index in (cut(path, size, folder),)
        for start, end in bounds(0, identity.size, count)
    )


def unindexed(paths: FilePath | Iterable[FilePath], split: int | str = "auto", *, indexes: FilePath) -> Iterator[Path]:
    """Yield the files that would be cut if they had a seek index in that folder: long gzip files of one member."""
    size = slice_size(split)
    for path in absolute(paths):
        with Stored(path) as stored:
            if _wants_index(stored, size) and index_for(stored, Path(indexes).absolute()) is None:
                yield path


def slice_size(split: int | str) -> int | None:
    """Return the most bytes of a slice, None for no limit."""
    if split == "none":
        return None
    size = _AUTO if split == "auto" else split if isinstance(split, int) else parse_size(split)
    if size < 1:
        raise UsageError(f"a slice can't have {size} bytes", hint='Give a size as "64MiB", "auto" or "none".')
    return size


def absolute(paths: FilePath | Iterable[FilePath]) -> Iterator[Path]:
    """Yield absolute paths, symbolic links as they are: they may lead elsewhere on another machine."""
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        whole = Path(path).absolute()
        try:
            str(whole).encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"the name of {str(whole)!r} is not UTF-8",
                why="What travels is JSON, which can't carry it.",
                hint="Rename it, or read it through a symbolic link.",
            ) from None
        yield whole


def cut(path: Path, size: int | None, folder: Path | None, start: int = 0) -> tuple[Identity, int, Path | None]:
    """Look at a file: return what it is, into how many slices it is cut from `start` on, and by which seek index."""
    with Stored(path) as stored:
        identity = Identity.of(stored)
        divisible, index = False, None
        if size is not None and identity.size - start > size:
            divisible, index = _looked_at(stored, folder)
    return identity, -(-(identity.size - start) // size) if size is not None and divisible else 1, index


def bounds(start: int, end: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield the stored bytes of each of `count` slices of a file."""
    size = end - start
    for number in range(count):
        yield start + size * number // count, start + size * (number + 1) // count


def _looked_at(stored: Stored, folder: Path | None) -> tuple[bool, Path | None]:
    """Say whether a file can be entered in its middle, and by which seek index."""
    try:
        archive = archive_of(stored)
    except FileDamaged:  # whoever reads it will say so
        return False, None
    if archive is None or archive.is_divisible():
        return True, None
    index = index_for(stored, folder) if folder is not None and isinstance(archive, GzipFile) else None
    return (False, None) if index is None else (True, index.path)


def _wants_index(stored: Stored, size: int | None) -> bool:
    if size is None or stored.stat().st_size <= size:
        return False
    try:
        archive = archive_of(stored)
    except FileDamaged:
        return False
    return isinstance(archive, GzipFile) and not archive.is_divisible()
