"""The SQLite journal against kill -9, second masters, newer formats, and errors of a commit."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import pytest

from taskgrid.errors import JournalDamaged, JournalError, JournalLocked, JournalTooNew
from taskgrid.journal import ChunkRow, Commit, Durability, Group, OutcomeRow, SqliteJournal, open_journal, verify
from taskgrid.model import Accepted, Created, JobId, JobNumber, JobSpec, Marked, Record, Reported, Token

JOB = JobNumber(1)
CREATED = Created(number=JOB, spec=JobSpec(id=JobId("ab" * 16), function="m:f"), at=1.0)
SOON = 40.0

WRITER = """
import os, sys
from taskgrid.journal import ChunkRow, Durability, Group, SqliteJournal
from taskgrid.model import Accepted, Created, JobSpec
journal = SqliteJournal(sys.argv[1], Durability(sys.argv[2]), ballast=0)
first = sum(1 for job in journal.replay() for _ in job.records) - 1
if first < 0:
    first = 0
    created = Created(number=1, spec=JobSpec(id="ab" * 16, function="m:f"), at=1.0)
    journal.append([Group(1, 0, [created])], lambda _: None)
for n in range(first, first + 100_000):
    chunk = ChunkRow(n, n * 3, 3, b"[%d]\\n[1]\\n[2]" % n)
    group = Group(1, n + 1, [Accepted(ordinal=n, first=n * 3, count=3)], [chunk])
    journal.append([group], lambda _, n=n: os.write(1, b"%d\\n" % n))
    if n % 20 == 0:
        journal.flush()
"""


def commit(journal: SqliteJournal, first: int, records: Sequence[Record], chunks: Sequence[ChunkRow] = ()) -> None:
    """Append one group and wait for its commit."""
    journal.append([Group(JOB, first, records, chunks)], lambda _: None)
    journal.flush()


def records(journal: SqliteJournal) -> list[Record]:
    """Read all records of the one job."""
    return [record for job in journal.replay() for record in job.records]


def kill_after(acknowledged: int, path: Path, durability: str) -> list[int]:
    """Let a process write, kill it once it has acknowledged so many, and return what it acknowledged."""
    command = [sys.executable, "-c", WRITER, str(path), durability]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        found: list[bytes] = []
        for line in writer.stdout:
            found += [line] if line.strip().isdigit() else []
            if len(found) == acknowledged:
                writer.send_signal(signal.SIGKILL)
        assert writer.wait(SOON) == -signal.SIGKILL
    return [int(line) for line in found if line.endswith(b"\n")]


@pytest.mark.parametrize("durability", ["process", "power"])
def test_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path, durability: str) -> None:
    """Whatever was answered before kill -9 is there at the next start, whole, and the epoch has grown."""
    path = tmp_path / "journal.db"
    for start, acknowledged in enumerate([1, 57, 211], 1):
        answered = kill_after(acknowledged, path, durability)
        journal = SqliteJournal(path, Durability.PROCESS, ballast=0)
        kept = records(journal)[1:]
        assert len(kept) > max(answered)
        for n in answered:
            assert kept[n] == Accepted(ordinal=n, first=n * 3, count=3)
            assert journal.read_payloads(JOB, n * 3, n * 3 + 3) == b"[%d]\n[1]\n[2]" % n
        assert journal.epoch.number == 2 * start
        journal.close()
    assert verify(path).findings == []


def test_second_opener_is_refused_by_name(tmp_path: Path) -> None:
    """Two masters never share a journal; the second learns whose it is."""
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, ballast=0)
    with pytest.raises(JournalLocked, match=str(os.getpid())) as refused:
        SqliteJournal(path)
    assert refused.value.fields["pid"] == os.getpid()
    with pytest.raises(JournalLocked):
        verify(path)
    journal.close()
    SqliteJournal(path, ballast=0).close()


def test_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    """An older TaskGrid refuses a newer journal by name and changes nothing of it."""
    path = tmp_path / "journal.db"
    SqliteJournal(path, ballast=0).close()
    change(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(JournalTooNew, match="format 99"):
        SqliteJournal(path)
    assert path.read_bytes() == before


def test_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A wrong path never makes a journal of somebody's database."""
    path = tmp_path / "other.db"
    change(path, "CREATE TABLE theirs (value)")
    before = path.read_bytes()
    with pytest.raises(JournalError, match="another program"):
        SqliteJournal(path)
    assert path.read_bytes() == before


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Neither a text file nor a folder is taken for a journal."""
    path = tmp_path / "notes.txt"
    path.write_text("not a journal\n" * 1000)
    with pytest.raises(JournalDamaged):
        SqliteJournal(path)
    with pytest.raises(JournalError, match="folder"):
        SqliteJournal(tmp_path)


def test_journal_and_its_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Payloads may be private: nobody else can read the files."""
    path = tmp_path / "new" / "folder" / "journal.db"
    journal = open_journal(str(path), Durability.PROCESS)
    journal.append([Group(JOB, 0, [Marked(mark=1)])], lambda _: None)
    journal.flush()
    files = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    journal.close()
    assert files.keys() >= {"journal.db", "journal.db-wal", "journal.db.lock"}
    assert set(files.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_missing_record_is_damage(tmp_path: Path) -> None:
    """Replay never steps over a gap."""
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, ballast=0)
    commit(journal, 0, [CREATED, *(Marked(mark=mark) for mark in range(9))])
    journal.close()
    change(path, "DELETE FROM records WHERE n = 4")
    assert verify(path).findings == ["record 4 of job 1 is missing: the next there is 5"]
    journal = SqliteJournal(path, ballast=0)
    with pytest.raises(JournalDamaged, match="record 4"):
        records(journal)
    journal.close()


CHANGES = {
    "a record's body": (
        "UPDATE records SET body = CAST(replace(body, '3', '4') AS BLOB) WHERE n = 3",
        records,
    ),
    "a chunk's lines": ("UPDATE chunks SET lines = x'5B5D'", lambda journal: journal.read_payloads(JOB, 0, 1)),
    "a chunk's place": ("UPDATE chunks SET count = 3", lambda journal: journal.read_chunk(JOB, 0)),
    "an outcome's token": ("UPDATE outcomes SET token = '1 2 ff'", lambda journal: journal.read_arrivals(JOB, 0, 1)),
    "an outcome's lines": ("UPDATE outcomes SET lines = x'30'", lambda journal: journal.read_index(JOB, 0, 1, 1)),
    "a checkpoint": ("UPDATE checkpoints SET body = x'00'", records),
}


@pytest.mark.parametrize("what", CHANGES)
def test_changed_row_is_damage_where_it_is_read(tmp_path: Path, what: str) -> None:
    """A row that doesn't fit its checksum is never given out, and verify names it."""
    statement, read = CHANGES[what]
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, ballast=0)
    outcomes = [OutcomeRow(1, 0, 1, Token(1, 1, "ff"), 1, b"1")]
    reported = Reported(token=Token(1, 1, "ff"), number=1, runs=((0, 1),), first_sequence=1, at=2.0)
    accepted = Accepted(ordinal=0, first=0, count=2)
    group = Group(
        JOB,
        0,
        [CREATED, accepted, Marked(mark=2), Marked(mark=3), reported],
        [ChunkRow(0, 0, 2, b"[1]\n[2]")],
        outcomes,
    )
    journal.append([group], lambda _: None)
    if what == "a checkpoint":
        journal.checkpoint(JOB, 2, b"state")
    journal.close()
    change(path, statement)
    assert len(verify(path).findings) == 1
    assert "does not fit its checksum" in verify(path).findings[0]
    journal = SqliteJournal(path, ballast=0)
    with pytest.raises(JournalDamaged, match="taskgrid journal verify"):
        read(journal)
    journal.close()


def change(path: Path, statement: str) -> None:
    """Change a closed journal behind its back."""
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_failed_commit_is_fatal_and_answers_nobody(tmp_path: Path) -> None:
    """After an error that is not a full disk nothing more is answered."""
    failed, answers = Event(), []
    errors: list[BaseException] = []

    def on_fatal(error: BaseException) -> None:
        errors.append(error)
        failed.set()

    journal = SqliteJournal(tmp_path / "journal.db", ballast=0, on_fatal=on_fatal)
    commit(journal, 0, [Marked(mark=0)])
    journal.append([Group(JOB, 0, [Marked(mark=1)])], answers.append)
    assert failed.wait(SOON)
    with pytest.raises(JournalError):
        journal.flush()
    journal.close()
    assert isinstance(errors[0], sqlite3.IntegrityError)
    assert answers == []


def test_failed_commit_ends_the_process_with_status_74(tmp_path: Path) -> None:
    """Nobody can say what is on disk after a failed commit, so the process ends and recovers from it."""
    program = """
import sys
from taskgrid.journal import Group, SqliteJournal
from taskgrid.model import Marked
journal = SqliteJournal(sys.argv[1], ballast=0)
for _ in range(2):
    journal.append([Group(1, 0, [Marked(mark=0)])], lambda _: None)
    journal.flush()
"""
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "journal.db")], timeout=SOON, check=False)
    assert ended.returncode == 74


def test_forgotten_rows_leave_the_disk_in_steps(tmp_path: Path) -> None:
    """The space of a forgotten job is free for others soon after, also when a crash interrupts its deletion."""
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, Durability.PROCESS, ballast=0)
    chunks = [ChunkRow(n, n, 1, b"[%06d]" % n * 400) for n in range(2000)]
    told = [CREATED, *(Accepted(ordinal=n, first=n, count=1) for n in range(2000))]
    commit(journal, 0, told, chunks)
    full = journal.size()
    assert full > 4_000_000
    journal.forget(JOB)
    journal.close()
    journal = SqliteJournal(path, Durability.PROCESS, ballast=0)
    assert records(journal) == []
    for _ in range(100):
        journal.flush()
        if journal.size() < full // 10:
            break
    assert journal.size() < full // 10
    commit(journal, 0, told, chunks)
    journal.close()
    assert path.stat().st_size < full * 1.2
    assert verify(path).findings == []


def test_log_starts_over_when_it_has_grown(tmp_path: Path) -> None:
    """The write-ahead log stays bounded, however much is appended."""
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, Durability.PROCESS, ballast=0)
    for n in range(60):
        commit(journal, n, [Marked(mark=n)], [ChunkRow(n, n, 1, os.urandom(1 << 20))])
    assert Path(f"{path}-wal").stat().st_size < 40 << 20
    journal.close()


def test_deep_backlog_is_read_from_disk_in_order(tmp_path: Path) -> None:
    """Chunks that no longer fit into memory are read ahead, and each line comes once."""
    journal = SqliteJournal(tmp_path / "journal.db", Durability.NONE, ballast=0, cache=200_000)
    lines = [b"[%d]" % task for task in range(100_000)]
    chunks = [ChunkRow(n, n * 1000, 1000, b"\n".join(lines[n * 1000 : n * 1000 + 1000])) for n in range(100)]
    commit(journal, 0, [Marked(mark=0)], chunks)
    found = [journal.read_payloads(JOB, at, min(at + 700, 100_000)) for at in range(0, 100_000, 700)]
    journal.close()
    assert b"\n".join(found) == b"\n".join(lines)


def test_callbacks_that_fail_are_fatal(tmp_path: Path) -> None:
    """A master that couldn't take an answer must not go on as if it had."""
    errors: list[BaseException] = []
    journal = SqliteJournal(tmp_path / "journal.db", ballast=0, on_fatal=errors.append)
    done: Callable[[Commit], None] = {}.__getitem__  # type: ignore[assignment]  # fails on purpose
    journal.append([Group(JOB, 0, [Marked(mark=0)])], done)
    journal.close()
    assert isinstance(errors[0], KeyError)
