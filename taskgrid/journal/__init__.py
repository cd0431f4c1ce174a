"""Where the record survives: append groups of records, replay them, read bytes back.

Start with `protocol.py`, the contract. `MemoryJournal` and `SqliteJournal` keep it; `open_journal`
picks one. The room knows models and disks, and nothing of scheduling or wires.
"""

from taskgrid.journal.memory import MemoryJournal
from taskgrid.journal.open import open_journal
from taskgrid.journal.protocol import (
    ChunkRow,
    Commit,
    Durability,
    Group,
    Journal,
    OutcomePiece,
    OutcomeRow,
    StoredChunk,
    StoredJob,
)
from taskgrid.journal.sqlite import SqliteJournal
from taskgrid.journal.verify import verify

__all__ = [
    "ChunkRow",
    "Commit",
    "Durability",
    "Group",
    "Journal",
    "MemoryJournal",
    "OutcomePiece",
    "OutcomeRow",
    "SqliteJournal",
    "StoredChunk",
    "StoredJob",
    "open_journal",
    "verify",
]
