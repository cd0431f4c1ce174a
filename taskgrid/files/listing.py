"""Which files a run is over: patterns become files, each with its name below its pattern's root.

A pattern is a file, a folder, which stands for all files below it, or a glob, in which `**` stands for any
folders. Names that begin with a dot are found only where they are written out. Nothing is read but folders.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from taskgrid.errors import UsageError
from taskgrid.files.planning import FilePath, absolute
from taskgrid.files.standing import Seen

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


_MOST_ROOTS: Final = 8


class Listed(NamedTuple):
    """A file, and the root of the pattern that it was found by."""

    seen: Seen
    root: Path

    @property
    def relative(self) -> Path:
        """Its name below the root."""
        return self.seen.path.relative_to(self.root)


def listed(patterns: Iterable[FilePath], *, without: Iterable[Path] = (), by_name: bool = False) -> list[Listed]:
    """Return the files of patterns, each once, the largest first or by name, but those that are or lie below `without`.

    Raises UsageError for a pattern that leads to nothing. A file that can't be looked at is listed: whoever
    opens it will say why.
    """
    kept_out = tuple(f"{path}/" for path in without)
    found: dict[Path, Listed] = {}
    for pattern in patterns:
        count = 0
        for path, root in _matching(os.fspath(pattern)):
            count += 1
            if path not in found and not f"{path}/".startswith(kept_out):
                found[path] = Listed(_seen(path), root)
        if not count:
            raise UsageError(f"{os.fspath(pattern)} leads to no file", hint="Quote patterns, and use `**` for folders.")
    return in_order_of(found.values(), by_name=by_name)


def in_order_of(files: Iterable[Listed], *, by_name: bool) -> list[Listed]:
    """Return files by name or, else, the largest first."""
    return sorted(files, key=lambda each: (0 if by_name else -each.seen.size, str(each.seen.path)))


def roots_of(listing: Iterable[Listed]) -> tuple[str, ...]:
    """Return the folders that whoever reads the files must see: at most 8, in which all of them are."""
    return outermost(each.root for each in listing)


def outermost(roots: Iterable[Path]) -> tuple[str, ...]:
    """Return the folders of which none lies in another, or, if they are more than 8, the one that all lie in."""
    outer: list[Path] = []
    for root in sorted(set(roots)):
        if not outer or not root.is_relative_to(outer[-1]):
            outer.append(root)
    return tuple(map(str, outer)) if len(outer) <= _MOST_ROOTS else (os.path.commonpath(outer),)


def _matching(pattern: str) -> Iterator[tuple[Path, Path]]:
    """Yield (file, root), absolute."""
    (whole,) = absolute(pattern)
    if whole.is_dir():
        yield from ((path, whole) for path in _below(whole))
    elif whole.exists() or not glob.has_magic(pattern):
        if os.path.lexists(whole):
            yield whole, whole.parent
    else:
        root = root_of(whole)
        for name in glob.iglob(str(whole), recursive=True):  # noqa: PTH207  # pathlib's finds what begins with a dot
            path = Path(name)
            if not path.is_dir():
                yield path, root


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def root_of(pattern: Path) -> Path:
    """Return the folder above a glob's first part that is one, or above what is no glob."""
    parts = pattern.parts
    plain = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:plain])


def _seen(path: Path) -> Seen:
    try:
        return Seen.of(path, path.stat())
    except OSError:
        return Seen(path, 0, 0, 0)
