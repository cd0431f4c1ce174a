"""The file behind a ledger: who may have it, its tables, and transactions that are whole or not at all.

SQLite with a rollback journal, which works on network file systems where its write-ahead log does not,
and leaves one file. Beside it lies a lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Final

from taskgrid.clock import Clock
from taskgrid.errors import LedgerError, LedgerLocked
from taskgrid.files.lock import Holder, Lock

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

FORMAT: Final = 1
_APPLICATION: Final = 0x5447464C  # "TGFL": tells our files from other databases
_SETTINGS: Final = (
    "locking_mode = EXCLUSIVE",
    "journal_mode = DELETE",
    "synchronous = FULL",
    "fullfsync = ON",  # macOS: fsync alone stops at the drive's cache
    "foreign_keys = ON",
    "cell_size_check = ON",
)
# Paths are blobs: on POSIX they are bytes. Large columns come last: what precedes them is read without them.
_TABLES: Final = """
CREATE TABLE recipes (
    id INTEGER PRIMARY KEY, function TEXT NOT NULL, parameters TEXT NOT NULL, UNIQUE (function, parameters)
);

-- how a file was when it was last planned, and what came of it; cause: why it failed, NULL if it did not
CREATE TABLE files (
    id INTEGER PRIMARY KEY, recipe INTEGER NOT NULL REFERENCES recipes, path BLOB NOT NULL, code TEXT NOT NULL,
    identity TEXT NOT NULL, settled INTEGER NOT NULL, recorded_at REAL NOT NULL, cause TEXT, sample TEXT,
    value BLOB, manifest BLOB NOT NULL, UNIQUE (recipe, path)
);

-- temporary: what is renamed to the target, unless that was done
CREATE TABLE outputs (
    target BLOB PRIMARY KEY, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, temporary BLOB NOT NULL,
    bytes INTEGER NOT NULL, checksum TEXT NOT NULL, published INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX outputs_by_file ON outputs (file);
CREATE INDEX outputs_to_publish ON outputs (target) WHERE NOT published;

-- runs that were begun and not ended
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, recipe INTEGER NOT NULL REFERENCES recipes, code TEXT NOT NULL, key TEXT NOT NULL,
    settings TEXT NOT NULL, begun_at REAL NOT NULL
);

-- their files in order; first: the task with a file's first slice; ended: what came of it is in `files`
CREATE TABLE planned (
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, number INTEGER NOT NULL, path BLOB NOT NULL,
    identity TEXT NOT NULL, start INTEGER NOT NULL, first INTEGER NOT NULL, slices INTEGER NOT NULL,
    seek_index BLOB, settled INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, number), UNIQUE (run, path)
) WITHOUT ROWID;
"""
_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class LedgerFile:
    """The one connection to a ledger, until `close`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open a ledger, made if it is not there; LedgerLocked if another run has it, else LedgerError."""
        self.path = path
        self._guard = RLock()
        with _explained(path, OSError, sqlite3.DatabaseError):
            _make_folder(path)
            self._lock = Lock(Path(f"{path}.lock"), clock.now(), lambda holder: _locked(path, holder))
            try:
                self._connection = _connected(path)
            except BaseException:
                self._lock.release()
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; what SQLite says against it becomes a LedgerError."""
        with self._guard, _explained(self.path, sqlite3.DatabaseError):
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection inside a transaction, on disk at the end, undone by an error."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Let others have the ledger."""
        with self._guard:
            self._connection.close()
        self._lock.release()


def _locked(path: Path, holder: Holder) -> LedgerLocked:
    return LedgerLocked(
        f"the ledger {path} is in use by {holder.shown}",
        why="One run has a ledger; a second would read the same files again and count them twice.",
        hint=f"Wait for that one, or use another ledger. If that host is gone for good, remove {path}.lock.",
        **holder.fields,
    )


def _make_folder(path: Path) -> None:
    if path.is_dir():
        raise LedgerError(f"{path} is a folder, not a ledger", hint="Name a file in it.")
    path.parent.mkdir(parents=True, exist_ok=True)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _open(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(connection: sqlite3.Connection, path: Path) -> None:
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}").fetchall()
    application, found = (_number(connection, each) for each in ("application_id", "user_version"))
    if not found and not _number(connection, "schema_version"):
        connection.executescript(
            f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {_APPLICATION}; "
            f"PRAGMA user_version = {FORMAT}; COMMIT;"
        )
    elif application != _APPLICATION:
        raise LedgerError(f"{path} is a database of another program", hint="Name another file as the ledger.")
    elif found > FORMAT:
        raise LedgerError(
            f"the ledger {path} has format {found}; this TaskGrid knows up to {FORMAT}",
            why="A newer TaskGrid wrote it.",
            hint="Use that version or a later one, or another ledger.",
        )


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


@contextmanager
def _explained(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        raise _error(path, error) from error


def _error(path: Path, error: Exception) -> LedgerError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGE:
        return LedgerError(
            f"the ledger {path} is damaged, or no ledger",
            why=f"SQLite says: {error}",
            hint="Without it every file is read again: move it away, or name another.",
        )
    if code == sqlite3.SQLITE_FULL:
        return LedgerError(f"the disk of the ledger {path} is full", hint="Free some space, then run again.")
    return LedgerError(f"the ledger {path} can't be used", why=str(error), hint="Name another file as the ledger.")
