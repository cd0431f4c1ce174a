"""What the writer does between batches, in steps of a few milliseconds each.

The log is copied into the file when it has grown, records before a checkpoint are deleted, the
rows of forgotten jobs too, and the ballast is taken aboard again. A forgotten job is marked in one
commit, so that a crash in the middle of its deletion leaves no half of it: what is marked is not
replayed, and the deletion goes on at the next start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from taskgrid.journal.database import Database, is_full
from taskgrid.journal.space import Space

_LOG_BYTES: Final = 16 << 20
_PAGES_PER_COMMIT: Final = 6 * 4096  # what small rows touch: one page in each table and index
_RECORDS_PER_STEP: Final = 2000
_ROWS_PER_STEP: Final = 500
_BYTES_PER_STEP: Final = 4 << 20
_LOOK_AGAIN: Final = 5.0

_SOME_RECORDS: Final = """
DELETE FROM records WHERE job = ?1 AND n < min(?2, (SELECT min(n) FROM records WHERE job = ?1) + ?3)
"""
_ALL: Final = (1 << 63) - 1


class Upkeep:
    """Knows what is due; used on the writer's thread alone, but for `forgotten` and `reusable`."""

    def __init__(self, database: Database, space: Space) -> None:
        self._database = database
        self._space = space
        self._trims: dict[int, int] = {}
        self._written = 0
        self._waits = False
        with database.reading() as connection:
            rows = connection.execute("SELECT job FROM forgotten").fetchall()
        self.forgotten: set[int] = {job for (job,) in rows}
        _, self.reusable = database.pages()

    def wrote(self, size: int) -> None:
        """Count a commit of about `size` bytes of blobs."""
        self._written += size + _PAGES_PER_COMMIT
        self._waits = False

    def trim(self, job: int, below: int) -> None:
        """Have the records of a job deleted that come before its checkpoint."""
        self._trims[job] = below

    def forget(self, jobs: Iterable[int]) -> None:
        """Have all rows deleted of jobs that are marked in the table `forgotten`."""
        self.forgotten.update(jobs)

    def due_in(self) -> float | None:
        """Return how many idle seconds to wait before the next step, 0 if it is due; None if there is none."""
        if self._waits:
            return _LOOK_AGAIN
        if self._written > _LOG_BYTES or self._trims or self.forgotten or self._space.restorable:
            return 0
        return None if self._space.whole else _LOOK_AGAIN

    def step(self) -> None:
        """Do one piece of what is due; a full disk puts it off."""
        try:
            self._waits = False
            self._step()
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            self._waits = True

    def _step(self) -> None:
        if self._written > _LOG_BYTES:
            self._database.checkpoint()
            self._written = 0
        elif self._trims:
            self._trim_some()
        elif self.forgotten:
            self._forget_some(next(iter(self.forgotten)))
        else:
            self._space.restore()
        _, self.reusable = self._database.pages()

    def _trim_some(self) -> None:
        job, below = next(iter(self._trims.items()))
        some = (job, below, _RECORDS_PER_STEP)
        deleted = self._database.write(lambda connection: connection.execute(_SOME_RECORDS, some).rowcount)
        self.wrote(0)
        if not deleted:
            del self._trims[job]

    def _forget_some(self, job: int) -> None:
        def forget_some(connection: sqlite3.Connection) -> bool:
            more = delete_some(connection, job)
            if not more:
                connection.execute("DELETE FROM forgotten WHERE job = ?", (job,))
            return more

        more = self._database.write(forget_some)
        self.wrote(0)
        if not more:
            self.forgotten.discard(job)


def delete_some(connection: sqlite3.Connection, job: int) -> bool:
    """Delete some rows of a job, a few megabytes at most; False when there were none left."""
    return (
        _delete_blobs(connection, "outcomes", job)
        or _delete_blobs(connection, "chunks", job)
        or connection.execute(_SOME_RECORDS, (job, _ALL, _RECORDS_PER_STEP)).rowcount > 0
        or connection.execute("DELETE FROM checkpoints WHERE job = ?", (job,)).rowcount > 0
    )


def _delete_blobs(connection: sqlite3.Connection, table: str, job: int) -> bool:
    some = f"SELECT id, length(lines) FROM {table} WHERE job = ? LIMIT ?"  # noqa: S608  # a name of ours
    ids, size = [], 0
    for number, length in connection.execute(some, (job, _ROWS_PER_STEP)).fetchall():
        ids.append((number,))
        size += length
        if size > _BYTES_PER_STEP:
            break
    connection.executemany(f"DELETE FROM {table} WHERE id = ?", ids)  # noqa: S608  # a name of ours
    return bool(ids)
