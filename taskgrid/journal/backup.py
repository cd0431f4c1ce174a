"""Copies a journal into a file of its own: beside a master that goes on, or while no master has it.

In use, the copy is made a mebibyte at a time, and commits go in between; what they change of pages
that are copied already, SQLite changes in the copy, too, so that it is as of its end. The copy does
not know the present start by its random bits: what that start hands out from then on is not in it,
and tokens and cursors of a master that opens the copy must not be taken for those.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from threading import Event, Lock
from typing import Final

from taskgrid.disks import sync_file, sync_folder
from taskgrid.errors import JournalError
from taskgrid.journal import rows
from taskgrid.journal.database import Database
from taskgrid.journal.place import Lock as JournalLock
from taskgrid.journal.settle import settle
from taskgrid.journal.snapshot import Snapshot
from taskgrid.journal.swap import refuse_unfinished
from taskgrid.journal.wal import damaged, walk

_BETWEEN: Final = 0.001
"""Seconds for commits between two steps: a lock that is taken again at once lets nobody in."""
_STEPS_PER_SYNC: Final = 8
"""Synced all at once at the end, a large copy would hold up the commits' own syncs for as long."""
_END_WITHIN: Final = 30.0
_SPARE: Final = 64 << 20


class Backup:
    """Copies one open journal, one copy at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = Lock()
        self._ending = Event()

    def write(self, target: Path) -> int:
        """Write the copy and return its size; JournalError if it can't be written, or the journal is closed."""
        if not self._turn.acquire(blocking=False):
            raise JournalError("a backup is being written already", hint="Try again when that one is done.")
        try:
            with _appearing(target, sum(self._database.pages())) as part, closing(_unsynced(part)) as copy:
                steps = count(1)
                self._database.copy(copy, between=lambda: self._let_commits_in(part, next(steps)))
                _forget_present_start(copy)
        finally:
            self._turn.release()
        return target.stat().st_size

    def _let_commits_in(self, part: Path, step: int) -> None:
        if step % _STEPS_PER_SYNC == 0:
            sync_file(part)
        if self._ending.wait(_BETWEEN):
            raise JournalError("the backup was given up: the master ends", hint="Make another one.")

    def stop(self) -> None:
        """End a copy that is being written."""
        self._ending.set()
        if self._turn.acquire(timeout=_END_WITHIN):
            self._turn.release()


def back_up(path: str | Path, target: str | Path) -> int:
    """Copy a journal that no master has, and return the copy's size.

    Raises JournalError: there is none, it is damaged, or `target` exists; JournalLocked: a master has it.
    """
    place = Path(path).absolute()
    if not place.exists():
        raise JournalError(f"there is no journal at {place}")
    lock = JournalLock(place)
    try:
        refuse_unfinished(place)
        log = Path(f"{place}-wal")
        if log.exists() and (damage := walk(log).damage):
            raise damaged(place, damage)
        with _appearing(Path(target).absolute(), _size(place, log)) as part:
            part.unlink()
            settle(place, part)
            Snapshot(part).close()  # a journal, of a format that is known
    finally:
        lock.release()
    return Path(target).stat().st_size


def _size(*files: Path) -> int:
    return sum(file.stat().st_size for file in files if file.exists())


@contextmanager
def _appearing(target: Path, size: int) -> Iterator[Path]:
    """Give a file to write, for its owner alone, that is on disk and has its name when all went well."""
    _require_place(target, size)
    part = target.with_name(f"{target.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        yield part
        sync_file(part)
        os.link(part, target)  # unlike a rename it never takes another file's place
        sync_folder(target.parent)
    except FileExistsError as error:
        raise _taken(target) from error
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"the copy {target} can't be written", why=str(error)) from error
    finally:
        part.unlink(missing_ok=True)


def _require_place(target: Path, size: int) -> None:
    if target.exists():
        raise _taken(target)
    if not target.parent.is_dir():
        raise JournalError(f"there is no folder {target.parent}", hint="Make it first, or name another place.")
    free = shutil.disk_usage(target.parent).free
    if free < size + _SPARE:
        raise JournalError(f"the copy needs {size + _SPARE:,} bytes at {target.parent}, and {free:,} are free")


def _taken(target: Path) -> JournalError:
    return JournalError(f"{target} exists already", hint="Name a new file for the copy.")


def _unsynced(part: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(part, isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = OFF", "synchronous = OFF"):  # it is synced once, when it is whole
        connection.execute(f"PRAGMA {setting}").fetchall()
    return connection


def _forget_present_start(copy: sqlite3.Connection) -> None:
    copy.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
    (number,) = copy.execute("SELECT max(number) FROM epochs").fetchone()
    salt = secrets.token_hex(8)
    copy.execute(
        "UPDATE epochs SET salt = ?, crc = ? WHERE number = ?", (salt, rows.epoch_sealed(number, salt), number)
    )
    copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # all in the one file
