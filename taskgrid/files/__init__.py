"""Files as the input of tasks: cut into slices, compressed or not, each record read exactly once.

    from taskgrid import Grid
    from taskgrid.files import FileSlice, plan

    def errors(slice: FileSlice) -> int:
        return sum(b" 500 " in line for line in slice)

    with Grid() as grid:
        print(sum(grid.map(errors, plan(Path("logs").glob("*.log.gz")))))

`sees` and `build_index` are ordinary task functions, offered by every worker that was not told
otherwise. Nothing here knows of masters or jobs.
"""

from __future__ import annotations

import socket
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from taskgrid.disks import require_within_bounds, why_unseen
from taskgrid.files.identity import Identity
from taskgrid.files.output import Output
from taskgrid.files.planning import plan, unindexed
from taskgrid.files.seek_index import build
from taskgrid.files.slices import FileSlice
from taskgrid.files.stored import Stored

__all__ = ["FileSlice", "Identity", "Output", "Sight", "build_index", "plan", "sees", "unindexed"]


class Sight(BaseModel):
    """Whether one machine can read a place."""

    model_config = ConfigDict(frozen=True)

    host: str
    why_not: str = ""
    """Empty if it can."""


def sees(root: Path) -> Sight:
    """Say whether this machine can read a folder that is not empty, or a file; a run asks each worker the same."""
    return Sight(host=socket.gethostname(), why_not=why_unseen(root))


def build_index(path: Path, folder: Path) -> Path:
    """Build the seek index of a gzip file in a folder, unless it is there; return where it lies.

    It reads the whole file, twice, and takes about 1 % of its decoded size. The folder must exist, and
    be the one that `plan` and the workers are given. Raises FileDamaged if the gzip file is, `OSError`,
    and ModuleNotFoundError without the extra `files`.
    """
    require_within_bounds(folder)
    with Stored(path) as stored:
        return build(stored, folder)
