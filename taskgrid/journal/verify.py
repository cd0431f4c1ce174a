"""Reads a whole journal and says what is in it and what is not as it was written; changes nothing.

It walks the log, has SQLite check its pages, and goes through every row: checksums, dense numbers,
chunks that follow one another, and whether what the records speak of is all there. A torn tail is
not wrong: it was never answered, and the next start cuts it. The journal's lock is taken, so that
no master writes meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from taskgrid.errors import JournalDamaged, JournalError
from taskgrid.journal import rows
from taskgrid.journal.newest import span_of
from taskgrid.journal.place import Lock
from taskgrid.journal.snapshot import Snapshot
from taskgrid.journal.soundness import Held, check
from taskgrid.journal.swap import unfinished
from taskgrid.journal.wal import walk

_MOST: Final = 100


@dataclass
class Verified:
    """What was found in a journal."""

    path: str
    findings: list[str] = field(default_factory=list)
    """A sentence for each thing that is wrong, up to 100; empty if the journal is sound."""
    torn: str = ""
    """What the next start will cut, a write that was never answered; empty if nothing."""
    format: int = 0
    epochs: int = 0
    jobs: int = 0
    records: int = 0
    """Numbered from each job's beginning; those before its checkpoint need not be there any more."""
    chunks: int = 0
    tasks: int = 0
    outcomes: int = 0
    """Rows."""
    bytes: int = 0
    """Of the file and its log."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def count(self, held: Held) -> None:
        """Count what one job holds."""
        self.jobs += 1
        self.records += held.records
        self.chunks += held.chunks
        self.tasks += held.tasks
        self.outcomes += held.outcomes


def verify(path: str | Path) -> Verified:
    """Read a journal through and return what was found.

    Raises JournalError if there is no journal at `path`, JournalLocked if a master has it.
    """
    place = Path(path).absolute()
    if not place.exists() and not Path(f"{place}-wal").exists():
        raise JournalError(f"there is no journal at {place}")
    lock = Lock(place)
    try:
        found = Verified(str(place))
        found.findings = list(islice(_findings(place, found), _MOST))
        return found
    finally:
        lock.release()


def _findings(place: Path, found: Verified) -> Iterator[str]:
    if unfinished(place):
        yield f"a repair of it did not finish: `taskgrid journal repair {place}` goes on with it"
        return
    files = [place, Path(f"{place}-wal")]
    found.bytes = sum(file.stat().st_size for file in files if file.exists())
    if files[1].exists():
        walked = walk(files[1])
        found.torn = walked.torn
        if walked.damage:
            yield walked.damage
    try:
        with closing(Snapshot(place)) as snapshot:
            yield from findings_of(snapshot.connection, found)
    except JournalDamaged as error:
        yield error.why
    except JournalError as error:
        yield error.message
    except sqlite3.Error as error:
        yield f"it can't be read further: {error}"


def findings_of(connection: sqlite3.Connection, found: Verified) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong in an open journal, and count what is there."""
    (found.format,) = connection.execute("PRAGMA user_version").fetchone()
    yield from (text for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok")
    yield from _epochs(connection, found)
    yield from _spans(connection)
    forgotten = {job for (job,) in connection.execute("SELECT job FROM forgotten")}
    for job in jobs_in(connection):
        if job not in forgotten:
            yield from _job(connection, job, found)


def _job(connection: sqlite3.Connection, job: int, found: Verified) -> list[str]:
    try:
        found.count(check(connection, job))
    except rows.UNREADABLE as error:
        return [rows.finding(error)]
    except sqlite3.DatabaseError as error:
        return [f"job {job} can't be read further: {error}"]
    return []


def jobs_in(connection: sqlite3.Connection) -> list[int]:
    """Return the numbers of all jobs that any row speaks of."""
    tables = ("records", "checkpoints", "chunks", "outcomes")
    each = " UNION ".join(f"SELECT job FROM {table}" for table in tables)  # noqa: S608  # names of ours
    return [job for (job,) in connection.execute(f"{each} ORDER BY job")]


def _epochs(connection: sqlite3.Connection, found: Verified) -> Iterator[str]:
    for found.epochs, (number, salt, crc) in enumerate(connection.execute("SELECT number, salt, crc FROM epochs"), 1):
        if crc != rows.epoch_sealed(number, salt):
            yield f"epoch {number} does not fit its checksum"


def _spans(connection: sqlite3.Connection) -> Iterator[str]:
    """Name rows that a reader by index would miss: the span is no part of the checksum."""
    for job, sequence, count, span in connection.execute("SELECT job, sequence, count, span FROM outcomes"):
        if span != span_of(count):
            yield f"outcome row {sequence} of job {job} stands under a wrong span"
