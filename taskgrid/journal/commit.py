"""One batch of the SQLite journal: written in one transaction, waited out on a full disk.

A batch that meets a full disk is kept unchanged. The ballast is thrown off first; when that is used
up the batch is tried again and again until there is space, and nobody is answered meanwhile. Any
other error is raised: after a failed fsync nobody can say what is on disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Final

import structlog

from taskgrid.journal import rows
from taskgrid.journal.database import Database, is_full
from taskgrid.journal.protocol import Group
from taskgrid.journal.reads import Reader
from taskgrid.journal.space import Space
from taskgrid.journal.upkeep import Upkeep, delete_some
from taskgrid.journal.writer import Append, Checkpoint, Entry, Forget, Unwritten, weight

_log = structlog.get_logger()

_RETRY_EVERY: Final = 0.5
_INSERTS: Final = {
    "records": "INSERT INTO records VALUES (?, ?, ?, ?)",
    "chunks": "INSERT INTO chunks VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
    "outcomes": "INSERT INTO outcomes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
}


@dataclass
class _Batch:
    groups: list[Group] = field(default_factory=list)
    rows: rows.Rows = field(default_factory=rows.Rows)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    forgets: set[int] = field(default_factory=set)
    returning: set[int] = field(default_factory=set)
    """Jobs that begin anew under the number of a forgotten one."""

    def write(self, connection: sqlite3.Connection) -> None:
        """Write all of it, inside a transaction."""
        for job in self.returning:
            _purge(connection, job)
        for table, insert in _INSERTS.items():
            if new := getattr(self.rows, table):
                connection.executemany(insert, new)
        for each in self.checkpoints:
            _keep(connection, each)
        if self.forgets:
            connection.executemany("INSERT OR IGNORE INTO forgotten VALUES (?)", [(job,) for job in self.forgets])


class Committer:
    """Writes the batches of one journal; used on the writer's thread alone, but for `full` and `closing`."""

    def __init__(self, database: Database, reader: Reader, upkeep: Upkeep, space: Space) -> None:
        self._database = database
        self._reader = reader
        self._upkeep = upkeep
        self._space = space
        self._gone = set(upkeep.forgotten)
        self.full = False
        """Whether a batch is waiting for space on the disk."""
        self.closing = Event()
        """Set when a batch that can't be written is to be given up."""

    def commit(self, batch: Sequence[Entry]) -> None:
        """Make a batch durable, whole, or raise; Unwritten gives it up at closing."""
        prepared = self._prepare(batch)
        while not self._is_written(prepared):
            if self.closing.wait(_RETRY_EVERY):
                raise Unwritten
        self._set_full(full=False)
        self._publish(prepared, sum(map(weight, batch)))

    def step(self) -> None:
        """Do one small piece of the upkeep that is due."""
        self._upkeep.step()

    def due_in(self) -> float | None:
        """Return how many idle seconds to wait before the next step, 0 if it is due; None if there is none."""
        return self._upkeep.due_in()

    def _prepare(self, batch: Sequence[Entry]) -> _Batch:
        prepared = _Batch()
        for entry in batch:
            if isinstance(entry, Append):
                self._add(prepared, entry.groups)
            elif isinstance(entry, Forget):
                prepared.forgets.add(entry.job)
            elif entry.job not in self._gone:
                prepared.checkpoints.append(entry)
        return prepared

    def _add(self, prepared: _Batch, groups: Sequence[Group]) -> None:
        for group in groups:
            if group.job in self._gone:
                if group.first_record:
                    continue  # a latecomer of a job that is gone: rows without their beginning would be damage
                prepared.returning.add(group.job)
            prepared.groups.append(group)
            prepared.rows.add(group)

    def _is_written(self, prepared: _Batch) -> bool:
        try:
            if prepared.groups or prepared.checkpoints or prepared.forgets:
                self._database.write(prepared.write)
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            if self._space.release():
                _log.warning("journal.ballast_released", path=str(self._database.path))
                return self._is_written(prepared)
            self._set_full(full=True)
            return False
        return True

    def _set_full(self, *, full: bool) -> None:
        if full == self.full:
            return
        self.full = full
        _log.warning("journal.full" if full else "journal.resumed", path=str(self._database.path))

    def _publish(self, prepared: _Batch, size: int) -> None:
        self._gone -= prepared.returning
        self._upkeep.forgotten.difference_update(prepared.returning)
        self._reader.committed(prepared.groups)
        for each in prepared.checkpoints:
            self._upkeep.trim(each.job, each.next_record)
        self._gone |= prepared.forgets
        self._upkeep.forget(prepared.forgets)
        for job in prepared.forgets:
            self._reader.forget(job)
        self._upkeep.wrote(size)


def _keep(connection: sqlite3.Connection, each: Checkpoint) -> None:
    crc = rows.sealed(each.body, each.job, each.next_record)
    row = (each.job, each.next_record, crc, each.body)
    connection.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)", row)


def _purge(connection: sqlite3.Connection, job: int) -> None:
    while delete_some(connection, job):
        pass
    connection.execute("DELETE FROM forgotten WHERE job = ?", (job,))
