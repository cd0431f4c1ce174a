"""Puts a repaired journal in the place of a damaged one, so that no crash leaves something in between.

The new file waits under a name of its own. While it is there nobody opens the journal: the damaged
file gets a second name, its log loses its first one, and the last step, a rename, makes the new file
the journal. Whatever step a crash comes at, doing all of them again ends well.
"""

from __future__ import annotations

import os
from pathlib import Path

from taskgrid.disks import sync_folder
from taskgrid.errors import JournalError


def aside(journal: Path) -> Path:
    """Return where the damaged file is kept; its log is beside it."""
    return Path(f"{journal}.damaged")


def waiting(journal: Path) -> Path:
    """Return where a repaired file waits for its place."""
    return Path(f"{journal}.repaired")


def unfinished(journal: Path) -> bool:
    """Say whether a repair was interrupted after its decision."""
    return waiting(journal).exists()


def refuse_unfinished(journal: Path) -> None:
    """Raise JournalError while a repaired file waits for its place."""
    if unfinished(journal):
        raise JournalError(
            f"a repair of the journal {journal} did not finish",
            why=f"{waiting(journal)} is still there.",
            hint=f"Run `taskgrid journal repair {journal}`: it goes on where it was interrupted.",
        )


def swap(journal: Path) -> None:
    """Make the file that waits the journal, and leave the damaged one aside, untouched."""
    kept = aside(journal)
    for end in ("", "-wal"):
        original, other = Path(f"{journal}{end}"), Path(f"{kept}{end}")
        if original.exists() and not other.exists():
            os.link(original, other)
    Path(f"{journal}-wal").unlink(missing_ok=True)
    Path(f"{journal}-shm").unlink(missing_ok=True)
    sync_folder(journal.parent)
    waiting(journal).rename(journal)
    sync_folder(journal.parent)
