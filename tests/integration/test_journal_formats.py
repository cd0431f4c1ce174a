"""Formats of the journal's file: those of before open for ever, and leave a copy; a later one is refused by name.

`journals/` holds one small file of each format there ever was, written by the TaskGrid of its time
and never again. `STORY` is what they all tell.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_scene import OF_BEFORE_COLUMNS, WrittenJob, outcomes, payloads

from taskgrid.clock import ManualClock
from taskgrid.errors import JournalError, JournalTooNew
from taskgrid.journal import Durability, SqliteJournal, rows, schema, upgrade, verify
from taskgrid.lifecycle import TaskState
from taskgrid.master.engine import Engine
from taskgrid.model import JobNumber, Token
from taskgrid.scheduler.limits import Limits
from taskgrid.scheduler.trails import rank

S = TaskState
STORED = Path(__file__).parent / "journals"
STORY = {
    1: [S.SUCCEEDED, S.SUCCEEDED, S.QUEUED, S.SUCCEEDED, S.CANCELLED, S.CANCELLED, S.QUEUED, S.QUEUED],
    2: [S.SUCCEEDED, S.FAILED, S.SUCCEEDED],
}
"""The states of each job's tasks; in a stored file job 2 has a checkpoint, and no record any more.

From format 2 on, so has job 1, all but for a last record."""
MUCH = 1 << 30


def tell(journal: SqliteJournal) -> None:
    """Write the story."""
    first = WrittenJob(journal, JobNumber(1)).create(name="nightly", owner="ada@alpha", key="2026-01-31")
    first.submit(5).submit(3).seal().mark(8).report(0, 4, failed=[(2, 3)]).cancel(4, 6).retry(2, 3)
    first.checkpoint().mark(8)
    second = WrittenJob(journal, JobNumber(2)).create().submit(3).seal().mark(3).report(0, 3, failed=[(1, 2)])
    second.checkpoint()


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let there be a format after today's, and give a journal of today's; the step adds a table."""
    path = tmp_path / "journal.db"
    shutil.copy(STORED / f"format-{schema.FORMAT}.db", path)
    monkeypatch.setattr(upgrade, "STEPS", {**upgrade.STEPS, schema.FORMAT: add_table})
    monkeypatch.setattr(schema, "FORMAT", schema.FORMAT + 1)
    return path


def add_table(connection: sqlite3.Connection) -> None:
    """Make the format that only this test knows: a table more."""
    connection.execute("CREATE TABLE remarks (job INTEGER, text TEXT)")


def check_story(path: Path) -> None:
    """Open a journal as a master does, and find the story."""
    journal = SqliteJournal(path, Durability.PROCESS, ballast=0)
    try:
        jobs = Engine(journal, ManualClock(), Limits()).core.jobs
        for number, states in STORY.items():
            job = jobs[JobNumber(number)]
            assert [list(TaskState)[state] for state in job.states] == states
            assert journal.read_payloads(job.number, 0, job.total) == payloads(0, job.total)
        assert (jobs[JobNumber(1)].spec.key, jobs[JobNumber(1)].spec.name) == ("2026-01-31", "nightly")
        first, second = journal.read_arrivals(JobNumber(1), 0, MUCH)
        assert (first.first, first.lines, second.cancelled) == (0, outcomes(0, 4, [(2, 3)], 1), True)
        assert journal.epochs[1] == first.token.salt if first.token else False
    finally:
        journal.close()


@pytest.mark.parametrize("number", range(1, schema.FORMAT + 1))
def test_stored_journal_of_each_format_opens(tmp_path: Path, number: int) -> None:
    """Whatever a released TaskGrid wrote, this one goes on with."""
    path = tmp_path / "journal.db"
    shutil.copy(STORED / f"format-{number}.db", path)
    check_story(path)
    found = verify(path)
    assert (found.findings, found.format) == ([], schema.FORMAT)
    assert (tmp_path / f"journal.db.format{number}").exists() == (number < schema.FORMAT)


def test_what_is_written_today_is_the_newest_stored_format(tmp_path: Path) -> None:
    """A change of tables, records or checkpoints needs a new format: the stored file has today's, word for word."""
    journal = SqliteJournal(tmp_path / "journal.db", ballast=0)
    tell(journal)
    journal.close()
    check_story(tmp_path / "journal.db")
    stored = STORED / f"format-{schema.FORMAT}.db"
    assert tables(tmp_path / "journal.db") == tables(stored)
    assert written(tmp_path / "journal.db") == written(stored)


def tables(path: Path) -> list[tuple[str, str]]:
    """Return how a file's tables and indexes were made."""
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    connection.close()
    return found


def written(path: Path) -> list[tuple[bytes, ...]]:
    """Return records and checkpoints as they were written, but for the start's random bits."""
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    (salt,) = connection.execute("SELECT salt FROM epochs WHERE number = 1").fetchone()
    records = connection.execute("SELECT body FROM records ORDER BY job, n").fetchall()
    checkpoints = connection.execute("SELECT body FROM checkpoints ORDER BY job").fetchall()
    connection.close()
    said = [(body.replace(salt.encode(), b"salt"),) for (body,) in records]
    return said + [unpacked(body) for (body,) in checkpoints]


def unpacked(body: bytes) -> tuple[bytes, ...]:
    """Return a checkpoint's line, and its arrays without their compression, which is zlib's business."""
    line, _, packed = body.partition(b"\n")
    arrays = []
    while packed:
        unpacking = zlib.decompressobj()
        arrays.append(unpacking.decompress(packed))
        packed = unpacking.unused_data
    return (line, *arrays)


def test_checkpoint_of_before_there_were_columns_survives_the_upgrade(tmp_path: Path) -> None:
    """What tasks left behind is there again, above all the floors that refuse superseded reports."""
    path = tmp_path / "journal.db"
    shutil.copy(STORED / "format-1.db", path)
    body = OF_BEFORE_COLUMNS.replace(b'"number":1', b'"number":3')
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO checkpoints VALUES (3, 13, ?, ?)", (rows.sealed(body, 3, 13), body))
    connection.commit()
    connection.close()
    check_story(path)
    journal = SqliteJournal(path, Durability.PROCESS, ballast=0)
    try:
        trails = Engine(journal, ManualClock(), Limits()).core.jobs[JobNumber(3)].trails
        assert [trails.floor(task) for task in range(5)] == [0, *(rank(Token(1, n, "salt1")) for n in (3, 4, 5)), 0]
        assert [trails.past(task).alone for task in range(4)] == [False, False, True, False]
    finally:
        journal.close()


def test_upgrade_leaves_a_copy_that_the_older_taskgrid_opens(older: Path, tmp_path: Path) -> None:
    """Going back is possible: the copy is the journal as it was, in its own format."""
    before = schema.FORMAT - 1
    assert verify(older).findings == [f"{older} has format {before}, and this TaskGrid reads format {before + 1}"]
    check_story(older)
    copy = tmp_path / f"journal.db.format{before}"
    assert tables(copy) == tables(STORED / f"format-{before}.db")
    assert "remarks" in dict(tables(older))
    assert copy.stat().st_mode & 0o777 == 0o600
    check_story(older)
    assert number_of(older) == before + 1
    assert number_of(copy) == before


def number_of(path: Path) -> int:
    """Return a file's format."""
    connection = sqlite3.connect(path)
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(found)


def test_upgrade_that_fails_changes_nothing(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps are one transaction: an error leaves the older format, which opens again."""

    def broken(connection: sqlite3.Connection) -> None:
        add_table(connection)
        connection.execute("INSERT INTO nowhere VALUES (1)")

    before = schema.FORMAT - 1
    monkeypatch.setattr(upgrade, "STEPS", {before: broken})
    with pytest.raises(JournalError, match="nowhere"):
        SqliteJournal(older, ballast=0)
    assert number_of(older) == before
    monkeypatch.setattr(upgrade, "STEPS", {before: add_table})
    check_story(older)


def test_copy_that_can_not_be_written_stops_the_upgrade(older: Path) -> None:
    """Without a way back there is no way on."""
    before = schema.FORMAT - 1
    Path(f"{older}.format{before}").mkdir()
    with pytest.raises(JournalError, match="can't be written"):
        SqliteJournal(older, ballast=0)
    assert number_of(older) == before


def test_format_that_nothing_leads_from_is_refused(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so and leaves the format as it is."""
    monkeypatch.setattr(upgrade, "STEPS", {})
    with pytest.raises(JournalError, match="does not know the way"):
        SqliteJournal(older, ballast=0)
    assert number_of(older) == schema.FORMAT - 1


def test_upgraded_journal_is_refused_by_the_older_taskgrid(older: Path) -> None:
    """A TaskGrid of before, which knows no such format, names it and changes nothing."""
    check_story(older)
    before = older.read_bytes()
    program = "import sys; from taskgrid.journal import SqliteJournal; SqliteJournal(sys.argv[1], ballast=0)"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(older)], capture_output=True, text=True, check=False, timeout=50
    )
    assert JournalTooNew.__name__ in ended.stderr
    assert f"format {schema.FORMAT}" in ended.stderr
    assert older.read_bytes() == before
