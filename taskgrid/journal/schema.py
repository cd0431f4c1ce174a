"""The tables of the SQLite journal, its format number, and how a file comes to have them.

Every row carries a checksum over all of it, its place included, so that neither a flipped bit nor
a row in another's place is ever taken for what was written. Blobs come last: what precedes them is
read without touching their pages. `user_version` is the format; a newer one is refused by name.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from taskgrid.errors import JournalError, JournalTooNew

FORMAT: Final = 2
"""Grows with any change of the tables, of a record or of a checkpoint that a TaskGrid of before would misread."""
APPLICATION: Final = 0x54475244  # "TGRD": tells our files from other databases

_TABLES: Final = """
CREATE TABLE epochs (number INTEGER PRIMARY KEY, salt TEXT NOT NULL, crc INTEGER NOT NULL);

CREATE TABLE records (
    job INTEGER NOT NULL, n INTEGER NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (job, n)
) WITHOUT ROWID;

CREATE TABLE checkpoints (
    job INTEGER PRIMARY KEY, n INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL
);

-- digest: crc32 of the lines, by which a repeated submit is told from a different one
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, job INTEGER NOT NULL, ordinal INTEGER NOT NULL, first INTEGER NOT NULL,
    count INTEGER NOT NULL, digest INTEGER NOT NULL, crc INTEGER NOT NULL, lines BLOB NOT NULL
);
CREATE UNIQUE INDEX chunks_by_ordinal ON chunks (job, ordinal);
CREATE INDEX chunks_by_first ON chunks (job, first);

-- span: the number of bits of count; bounds how far back a row that covers a task can begin
CREATE TABLE outcomes (
    id INTEGER PRIMARY KEY, job INTEGER NOT NULL, sequence INTEGER NOT NULL, first INTEGER NOT NULL,
    count INTEGER NOT NULL, span INTEGER NOT NULL, token TEXT, number INTEGER NOT NULL,
    cancelled INTEGER NOT NULL, crc INTEGER NOT NULL, lines BLOB NOT NULL
);
CREATE UNIQUE INDEX outcomes_by_sequence ON outcomes (job, sequence);
CREATE INDEX outcomes_by_first ON outcomes (job, span, first, count, sequence);

-- jobs whose rows are being deleted, a few at a time
CREATE TABLE forgotten (job INTEGER PRIMARY KEY);
"""


def is_new(connection: sqlite3.Connection, path: str) -> bool:
    """Say whether a file has no tables yet; refuse one of a newer TaskGrid or of another program."""
    found, application = format_of(connection), _number(connection, "application_id")
    if not found and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return True
    if application != APPLICATION:
        raise JournalError(f"{path} is a database of another program", hint="Name another file with `--journal`.")
    if found > FORMAT:
        raise JournalTooNew(
            f"the journal {path} has format {found}; this TaskGrid knows up to {FORMAT}",
            why="A newer TaskGrid wrote it.",
            hint="Start with that version of TaskGrid or a later one, or with another `--journal`.",
        )
    return False


def format_of(connection: sqlite3.Connection) -> int:
    """Return the format of an open journal; 0 if it has no tables."""
    return _number(connection, "user_version")


def make(connection: sqlite3.Connection) -> None:
    """Give a new file its tables and its format number, all or nothing."""
    connection.executescript(
        f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
    )


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
