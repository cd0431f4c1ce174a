"""Which journal a setting means: `memory`, or the path of a file."""

from __future__ import annotations

from pathlib import Path

from taskgrid.journal.memory import MEMORY, MemoryJournal
from taskgrid.journal.protocol import Durability, Journal
from taskgrid.journal.sqlite import SqliteJournal
from taskgrid.settings import state_folder


def open_journal(path: str, durability: Durability = Durability.POWER) -> Journal:
    """Open the journal that `path` names: `memory`, a file, or `journal.db` in the user's state folder when empty.

    Raises JournalError: locked, damaged, too new, on a network file system, or not to be written.
    """
    file = journal_file(path)
    return MemoryJournal(durability) if file is None else SqliteJournal(file, durability)


def journal_file(path: str) -> Path | None:
    """Return the file that `path` means, or None for `memory`."""
    if path == MEMORY:
        return None
    return Path(path).expanduser() if path else state_folder() / "journal.db"
