"""Reads a whole journal and says what is not as it was written; changes nothing.

It walks the log, has SQLite check its pages, and goes through every row: checksums, dense numbers,
chunks that follow one another. A torn tail is not wrong: it was never answered, and the next start
cuts it. The journal's lock is taken, so that no master writes meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from taskgrid.errors import JournalError
from taskgrid.journal import rows, schema
from taskgrid.journal.place import Lock
from taskgrid.journal.wal import walk

_MOST: Final = 100


def verify(path: str | Path) -> list[str]:
    """Return a sentence for each thing that is wrong, up to 100; empty if the journal is sound.

    Raises JournalError if there is no journal at `path`, JournalLocked if a master has it.
    """
    place = Path(path).absolute()
    if not place.exists():
        raise JournalError(f"there is no journal at {place}")
    lock = Lock(place)
    try:
        return [finding for finding, _ in zip(_findings(place), range(_MOST), strict=False)]
    finally:
        lock.release()


def _findings(place: Path) -> Iterator[str]:
    log = Path(f"{place}-wal")
    if log.exists() and (damage := walk(log).damage):
        yield damage
    try:
        with closing(sqlite3.connect(f"file:{quote(str(place))}?mode=ro", uri=True)) as connection:
            yield from _findings_inside(connection, str(place))
    except (sqlite3.Error, JournalError) as error:
        yield f"it can't be read further: {error}"


def _findings_inside(connection: sqlite3.Connection, path: str) -> Iterator[str]:
    if schema.is_new(connection, path):
        yield "it has no tables"
        return
    yield from (text for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok")
    yield from _epochs(connection)
    forgotten = {job for (job,) in connection.execute("SELECT job FROM forgotten")}
    for job in _jobs(connection):
        if job not in forgotten:
            for check in (_check_records, _check_chunks, _check_outcomes):
                yield from _first_wrong(check, connection, job)


def _first_wrong(
    check: Callable[[sqlite3.Connection, int], None], connection: sqlite3.Connection, job: int
) -> list[str]:
    try:
        check(connection, job)
    except rows.UNREADABLE as error:
        return [rows.finding(error)]
    return []


def _jobs(connection: sqlite3.Connection) -> list[int]:
    tables = ("records", "checkpoints", "chunks", "outcomes")
    each = " UNION ".join(f"SELECT job FROM {table}" for table in tables)  # noqa: S608  # names of ours
    return [job for (job,) in connection.execute(f"{each} ORDER BY job")]


def _epochs(connection: sqlite3.Connection) -> Iterator[str]:
    for number, salt, crc in connection.execute("SELECT number, salt, crc FROM epochs"):
        if crc != rows.epoch_sealed(number, salt):
            yield f"epoch {number} does not fit its checksum"


def _check_records(connection: sqlite3.Connection, job: int) -> None:
    next_record = 0
    row = connection.execute("SELECT n, crc, body FROM checkpoints WHERE job = ?", (job,)).fetchone()
    if row is not None:
        next_record, crc, body = row
        if crc != rows.sealed(body, job, next_record):
            raise rows.Mismatch(f"the checkpoint of job {job} does not fit its checksum")
    after = "SELECT n, body, crc FROM records WHERE job = ? AND n >= ? ORDER BY n"
    for _ in rows.records_of(job, next_record, connection.execute(after, (job, next_record))):
        pass


def _check_chunks(connection: sqlite3.Connection, job: int) -> None:
    expected = 0
    select = f"SELECT {rows.CHUNK} FROM chunks WHERE job = ? ORDER BY first"  # noqa: S608  # column names of ours
    for row in connection.execute(select, (job,)):
        chunk = rows.chunk_of(job, row)
        if chunk.first != expected:
            raise rows.Mismatch(f"the payload of task {job}.{expected} is missing")
        expected += chunk.count


def _check_outcomes(connection: sqlite3.Connection, job: int) -> None:
    select = f"SELECT {rows.OUTCOME} FROM outcomes WHERE job = ? ORDER BY sequence"  # noqa: S608  # likewise
    for expected, row in enumerate(connection.execute(select, (job,)), 1):
        if rows.outcome_of(job, row).sequence != expected:
            raise rows.Mismatch(f"outcome row {expected} of job {job} is missing")
