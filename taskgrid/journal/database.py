"""The one SQLite connection of a journal, behind one lock: how it is opened, read and written.

Opening settles what no later code can: the format, the durability, and the epoch, which is on disk
in every durability mode before anybody can use the journal. Checkpoints of the log are asked for
by name, since SQLite's own swallow a failed fsync. Which rows there are is not known here.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

from taskgrid.errors import JournalError
from taskgrid.journal import schema
from taskgrid.journal.protocol import Durability
from taskgrid.journal.rows import UNREADABLE, Mismatch, Row, epoch_sealed, finding
from taskgrid.journal.upgrade import upgrade
from taskgrid.journal.wal import damaged

T = TypeVar("T")

_SYNCHRONOUS: Final = {Durability.POWER: "FULL", Durability.PROCESS: "NORMAL", Durability.NONE: "OFF"}
_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PAGES_AT_ONCE: Final = 256
_SETTINGS: Final = (
    "locking_mode = EXCLUSIVE",  # the log's index stays in this process, and no other program writes
    "journal_mode = WAL",
    "synchronous = FULL",  # until the epoch is on disk
    "fullfsync = ON",  # macOS: fsync alone stops at the drive's cache
    "wal_autocheckpoint = 0",
    "journal_size_limit = 67108864",
    "cache_size = -8000",  # KiB
    "cell_size_check = ON",
)


def is_full(error: sqlite3.Error) -> bool:
    """Say whether an error means that the disk is full."""
    return _code(error) == sqlite3.SQLITE_FULL


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


class Database:
    """Owns the connection until `close`."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self.path = path
        self.epochs: dict[int, str] = {}
        self._lock = Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with self.reading() as connection:
                self._open(connection, durability)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, connection: sqlite3.Connection, durability: Durability) -> None:
        new = schema.is_new(connection, str(self.path))
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}").fetchall()
        if new:
            schema.make(connection)
        upgrade(connection, self.path)
        self.epochs = _begin_epoch(connection)
        connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for reading; what does not fit becomes JournalDamaged."""
        with self._lock:
            try:
                yield self._connection
            except UNREADABLE as error:
                raise damaged(self.path, finding(error)) from error
            except sqlite3.Error as error:
                raise _explained(self.path, error) from error

    def write(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Do something to the connection inside a transaction, committed at the end, undone by an error."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                done = act(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        return done

    def checkpoint(self) -> None:
        """Copy the log into the file, so that it starts over."""
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def pages(self) -> tuple[int, int]:
        """Return the bytes in use, and those free for new rows, inside the file."""
        with self.reading() as connection:
            size, all_, free = (
                int(connection.execute(f"PRAGMA {each}").fetchone()[0])
                for each in ("page_size", "page_count", "freelist_count")
            )
        return (all_ - free) * size, free * size

    def copy(self, target: sqlite3.Connection, *, between: Callable[[], None]) -> None:
        """Copy everything, as of the end, some pages at a time; `between` is called while commits may go on."""

        def step(_status: int, _remaining: int, _total: int) -> None:
            self._lock.release()
            try:
                between()
            finally:
                self._lock.acquire()

        with self._lock:
            self._connection.backup(target, pages=_PAGES_AT_ONCE, progress=step)

    def close(self) -> None:
        """Let go of the file; SQLite copies its log into it."""
        with self._lock:
            self._connection.close()


def _explained(path: Path, error: sqlite3.Error) -> JournalError:
    if _code(error) in _DAMAGE:
        return damaged(path, f"SQLite says: {error}")
    if is_full(error):
        return JournalError(f"the disk of the journal {path} is full", hint="Free some space, or use another path.")
    return JournalError(f"the journal {path} can't be read", why=f"SQLite says: {error}")


def _begin_epoch(connection: sqlite3.Connection) -> dict[int, str]:
    epochs = dict(_verified(row) for row in connection.execute("SELECT number, salt, crc FROM epochs ORDER BY number"))
    number, salt = max(epochs, default=0) + 1, secrets.token_hex(8)
    connection.execute("INSERT INTO epochs VALUES (?, ?, ?)", (number, salt, epoch_sealed(number, salt)))
    return {**epochs, number: salt}


def _verified(row: Row) -> tuple[int, str]:
    number, salt, crc = row
    if crc != epoch_sealed(number, salt):
        raise Mismatch(f"epoch {number} does not fit its checksum")
    return number, salt
