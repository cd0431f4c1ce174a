"""Backups: whole as of their end, made while commits go on, and told from the history that went on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from journal_scene import WrittenJob

from taskgrid.errors import JournalDamaged, JournalError, JournalLocked
from taskgrid.journal import Durability, MemoryJournal, SqliteJournal, back_up, verify
from taskgrid.model import JobNumber


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    """Open a journal of some mebibytes."""
    journal = SqliteJournal(tmp_path / "journal.db", Durability.PROCESS, ballast=0)
    job = WrittenJob(journal, JobNumber(1)).create()
    for _ in range(60):
        job.submit(2000)
    job.mark(job.tasks)
    return journal


def test_backup_holds_all_that_was_committed_before_it_ended(journal: SqliteJournal, tmp_path: Path) -> None:
    """Commits go on while it is written; what was answered before its end is in it, whole."""
    job = WrittenJob(journal, JobNumber(2)).create()
    before, sizes, end = job.tasks, [], threading.Event()

    def write() -> None:
        sizes.append(journal.backup("copy.db"))
        end.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not end.is_set():
        job.submit(10)
    writer.join()
    assert job.tasks > before + 10, "commits should go on meanwhile"
    found = verify(tmp_path / "copy.db")
    assert (found.findings, found.jobs) == ([], 2)
    assert 120_000 < found.tasks <= 120_000 + job.tasks
    assert sizes == [(tmp_path / "copy.db").stat().st_size]
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    journal.close()
    assert {file.name for file in tmp_path.iterdir()} == {"copy.db", "copy.db.lock", "journal.db", "journal.db.lock"}
    SqliteJournal(tmp_path / "copy.db", ballast=0).close()


def test_copy_does_not_know_what_the_present_start_hands_out(journal: SqliteJournal, tmp_path: Path) -> None:
    """Tokens of after the backup can't be told from those before by number, so neither is known."""
    journal.close()
    journal = SqliteJournal(tmp_path / "journal.db", Durability.PROCESS, ballast=0)
    first, present = journal.epochs[1], journal.epoch
    journal.backup(tmp_path / "copy.db")
    journal.close()
    copy = SqliteJournal(tmp_path / "copy.db", ballast=0)
    assert copy.epoch.number == present.number + 1
    assert copy.epochs[1] == first
    assert present.salt not in copy.epochs.values()
    copy.close()


def test_backup_never_takes_the_place_of_a_file(journal: SqliteJournal, tmp_path: Path) -> None:
    """A target that exists, or whose folder doesn't, is refused, and nothing is left behind."""
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(JournalError, match="exists"):
        journal.backup("copy.db")
    with pytest.raises(JournalError, match="no folder"):
        journal.backup("nowhere/copy.db")
    journal.close()
    assert (tmp_path / "copy.db").read_text() == "mine"
    with pytest.raises(JournalError, match="exists"):
        back_up(tmp_path / "journal.db", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db.part").exists()


def test_closing_gives_a_backup_up(journal: SqliteJournal, tmp_path: Path) -> None:
    """A master that leaves waits for no copy, and leaves no half of one."""
    failed: list[str] = []
    begun = threading.Event()
    copy = journal._database.copy

    def slowly(target: object, *, between: object) -> None:
        def wait_for_the_end() -> None:
            begun.set()
            journal._backup._ending.wait(20)
            between()  # type: ignore[operator]  # as given

        copy(target, between=wait_for_the_end)  # type: ignore[arg-type]  # as given

    journal._database.copy = slowly  # type: ignore[method-assign, assignment]  # to be in the middle for sure

    def write() -> None:
        try:
            journal.backup("copy.db")
        except JournalError as error:
            failed.append(error.message)

    writer = threading.Thread(target=write)
    writer.start()
    assert begun.wait(20)
    with pytest.raises(JournalError, match="already"):
        journal.backup("other.db")
    journal.close()
    writer.join(20)
    assert failed == ["the backup was given up: the master ends"]
    assert not list(tmp_path.glob("copy.db*"))
    assert verify(tmp_path / "journal.db").sound


def test_journal_that_no_master_has_is_copied_with_its_log(journal: SqliteJournal, tmp_path: Path) -> None:
    """After a crash the commits are in the log; the copy has them in the file, and the original is untouched."""
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        (crashed / name).write_bytes((tmp_path / name).read_bytes())
    with pytest.raises(JournalLocked):
        back_up(tmp_path / "journal.db", tmp_path / "copy.db")
    journal.close()
    before = {file.name: file.read_bytes() for file in crashed.iterdir()}
    assert len(before["journal.db-wal"]) > 1_000_000
    back_up(crashed / "journal.db", tmp_path / "copy.db")
    assert {name: (crashed / name).read_bytes() for name in before} == before
    assert verify(tmp_path / "copy.db").tasks == 120_000
    log = bytearray(before["journal.db-wal"])
    log[5000] ^= 1
    (crashed / "journal.db-wal").write_bytes(log)
    with pytest.raises(JournalDamaged):
        back_up(crashed / "journal.db", tmp_path / "other.db")
    assert not (tmp_path / "other.db").exists()


def test_memory_has_nothing_to_copy() -> None:
    """It says so."""
    journal = MemoryJournal()
    with pytest.raises(JournalError, match="memory"):
        journal.backup("copy.db")
    journal.close()
