"""Looking at files on a worker, for a client that does not see them: which there are, and how each is cut.

Ordinary task functions, offered by every worker that was not told otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from taskgrid.disks import is_within_bounds
from taskgrid.errors import TaskGridError, UsageError
from taskgrid.files.identity import Identity
from taskgrid.files.listing import Listed, listed, root_of
from taskgrid.files.packing import Pack, unpacked
from taskgrid.files.planning import cut, unindexed
from taskgrid.files.standing import Here, Seen

__all__ = ["Cut", "CutRequest", "Listing", "cut_files", "grown_since", "list_files"]


class Listing(BaseModel):
    """Files that patterns lead to, by name: as many as a result has room for."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    packed: bytes
    after: Path | None = None
    """What to go on after; None if these are the last."""

    def files(self) -> list[Listed]:
        """Return the files."""
        rows = (json.loads(line) for line in unpacked(self.packed))
        return [Listed(Seen(Path(path), *seen), Path(root)) for path, root, *seen in rows]


class CutRequest(NamedTuple):
    """A file that is to be cut into slices of at most `size` stored bytes, from `start` on."""

    path: Path
    size: int | None
    indexes: Path | None
    start: int


class Cut(BaseModel):
    """What a file was when it was looked at, into how many slices it is cut, and by which seek index."""

    model_config = ConfigDict(frozen=True)

    identity: Identity | None = None
    """None if it can't be read."""
    count: int = 0
    index: Path | None = None
    why_not: str = ""
    wants_index: bool = False
    """It would be cut if it had a seek index where the request says."""

    @classmethod
    def of(cls, request: CutRequest) -> Cut:
        """Look at a file."""
        try:
            identity, count, index = cut(request.path, request.size, request.indexes, request.start)
            wants_index = count == 1 and _wants_index(request)
        except (OSError, TaskGridError, ModuleNotFoundError) as error:
            return cls(why_not=str(error).splitlines()[0])
        return cls(identity=identity, count=count, index=index, wants_index=wants_index)


def _wants_index(request: CutRequest) -> bool:
    if request.indexes is None or request.size is None:
        return False
    return next(unindexed(request.path, request.size, indexes=request.indexes), None) is not None


def list_files(patterns: Sequence[str], without: Sequence[Path] = (), after: Path | None = None) -> Listing:
    """List the files of absolute patterns that come after one of them by name, less those below `without`.

    Those that this worker may not read, by its --root, are left out.

    Raises UsageError for a pattern that leads to nothing.
    """
    for pattern in patterns:
        if not is_within_bounds(root_of(Path(pattern))):
            raise UsageError(f"{pattern} lies outside the folders of this worker's --root")
    pack = Pack()
    for each in listed(patterns, without=without, by_name=True):
        seen = each.seen
        if (after is not None and str(seen.path) <= str(after)) or not is_within_bounds(seen.path):
            continue
        if pack.add(json.dumps([str(seen.path), str(each.root), *seen[1:]]).encode()):
            return Listing(packed=pack.end(), after=seen.path)
    return Listing(packed=pack.end())


def cut_files(requests: Sequence[CutRequest]) -> list[Cut]:
    """Look at files, and say how each is cut."""
    return [Cut.of(request) for request in requests]


def grown_since(path: Path, then: Identity, separator: str) -> Identity | None:
    """Return what a file is now if it has only grown since, from the end of a whole record on; else None."""
    return Here().grown(path, then, separator.encode())
