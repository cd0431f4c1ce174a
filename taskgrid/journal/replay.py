"""Replaying a SQLite journal: each job's newest checkpoint, and the records after it.

Records are read a few hundred at a time and verified as they are read; payloads and outcomes are
never touched. A job that is being forgotten is passed over.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final

from taskgrid.journal.database import Database
from taskgrid.journal.protocol import StoredJob
from taskgrid.journal.rows import Mismatch, records_of, sealed
from taskgrid.model import JobNumber, Record

_AT_ONCE: Final = 500
_NEXT_JOB: Final = """
SELECT min(job) FROM (
    SELECT min(job) AS job FROM records WHERE job > ?1 UNION ALL SELECT min(job) FROM checkpoints WHERE job > ?1
)
"""
_SOME: Final = "SELECT n, body, crc FROM records WHERE job = ? AND n >= ? ORDER BY n LIMIT ?"
_CHECKPOINT: Final = "SELECT n, crc, body FROM checkpoints WHERE job = ?"


def replay(database: Database, forgotten: Container[int]) -> Iterator[StoredJob]:
    """Yield every job in order of number; JournalDamaged where a row is missing or changed."""
    job = -1
    while (found := _next_job(database, job)) is not None:
        job = found
        if job in forgotten:
            continue
        next_record, body = _checkpoint(database, job)
        yield StoredJob(JobNumber(job), body, next_record, _records(database, job, next_record))


def _next_job(database: Database, after: int) -> int | None:
    with database.reading() as connection:
        found = connection.execute(_NEXT_JOB, (after,)).fetchone()[0]
    return None if found is None else int(found)


def _checkpoint(database: Database, job: int) -> tuple[int, bytes | None]:
    with database.reading() as connection:
        row = connection.execute(_CHECKPOINT, (job,)).fetchone()
        if row is None:
            return 0, None
        next_record, crc, body = row
        if crc != sealed(body, job, next_record):
            raise Mismatch(f"the checkpoint of job {job} does not fit its checksum")
    return next_record, body


def _records(database: Database, job: int, next_record: int) -> Iterator[Record]:
    while some := _some(database, job, next_record):
        yield from some
        next_record += len(some)


def _some(database: Database, job: int, next_record: int) -> list[Record]:
    with database.reading() as connection:
        found = connection.execute(_SOME, (job, next_record, _AT_ONCE)).fetchall()
        return list(records_of(job, next_record, found))
