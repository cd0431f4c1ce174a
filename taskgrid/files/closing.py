"""Publishes for the dead: gives every committed output its name, and removes what came to nothing.

A worker renames what it has written once its report was taken. One that died between the commit and the
rename has left a temporary that is the output: the outcome says so. Whoever closes the run renames it then,
the same way. A temporary that no committed outcome names belongs to an attempt that was lost, and goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from taskgrid.disks import sync_folder
from taskgrid.errors import OutputLost
from taskgrid.files.output import Written, temporaries_in

_ASIDE: Final = re.compile(r"(\.\d+)?\.bad\.jsonl$")
"""What is added to an output's name for its bad records."""

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


def publish(written: Written) -> None:
    """Give a committed output its name, unless it has it; OutputLost if there is neither."""
    try:
        written.temporary.replace(written.target)
    except FileNotFoundError:
        _require(written)


def _require(written: Written) -> None:
    try:
        size = written.target.stat().st_size
    except FileNotFoundError:
        size = -1
    if size != written.bytes:
        raise OutputLost(
            f"{written.target} is not there as it was written",
            why=f"It had {written.bytes:,} bytes when its task ended on {written.temporary.parent}.",
            hint="Something else removed or rewrote it, or this machine does not see the folder: run it again.",
            path=str(written.target),
        )


def sweep(targets: Iterable[Path | None]) -> None:
    """Remove the temporaries of targets whose outputs are published, those of their bad records too, and sync names.

    For when every task of the run has ended: until then a temporary may be somebody's who still writes.
    """
    names: dict[Path, set[str]] = {}
    for target in targets:
        if target is not None:
            names.setdefault(target.parent, set()).add(target.name)
    for folder, known in names.items():
        if folder.is_dir():
            for temporary, name in temporaries_in(folder):
                if name in known or _ASIDE.sub("", name) in known:
                    temporary.unlink(missing_ok=True)
            sync_folder(folder)
