"""Where the record survives: append groups of records, replay them, read bytes back.

Start with `protocol.py`, the contract. `MemoryJournal` and `SqliteJournal` keep it; `open_journal`
picks one. `verify`, `repair`, `export` and `backup` are for people. The room knows models and disks,
and nothing of wires; what records mean is asked of the scheduler in `soundness.py` and `prefix.py`.
"""

from taskgrid.journal.backup import back_up
from taskgrid.journal.export import export
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
from taskgrid.journal.repair import Repaired, repair
from taskgrid.journal.sqlite import SqliteJournal
from taskgrid.journal.verify import Verified, verify

__all__ = [
    "ChunkRow",
    "Commit",
    "Durability",
    "Group",
    "Journal",
    "MemoryJournal",
    "OutcomePiece",
    "OutcomeRow",
    "Repaired",
    "SqliteJournal",
    "StoredChunk",
    "StoredJob",
    "Verified",
    "back_up",
    "export",
    "open_journal",
    "repair",
    "verify",
]
