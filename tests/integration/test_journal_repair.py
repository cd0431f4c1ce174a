"""Repair: of a damaged journal what is sound stays, the rest is named, and the result starts."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from journal_scene import WrittenJob, payloads

from taskgrid.clock import ManualClock
from taskgrid.errors import JournalDamaged, JournalError, JournalLocked
from taskgrid.journal import Durability, Repaired, SqliteJournal, repair, verify
from taskgrid.journal.mend import Loss
from taskgrid.journal.schema import FORMAT
from taskgrid.lifecycle import TaskState
from taskgrid.master.engine import Engine
from taskgrid.model import JobNumber
from taskgrid.scheduler.limits import Limits
from taskgrid.scheduler.state import Job

MUCH = 1 << 30
LONG = os.environ.get("TASKGRID_FAULTS") == "long"


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    """Open a journal with three jobs: one open and running, one that has ended, one with a retry."""
    journal = SqliteJournal(tmp_path / "journal.db", Durability.PROCESS, ballast=0)
    running = WrittenJob(journal, JobNumber(1)).create()
    for _ in range(10):
        running.submit(100)
    running.mark(400)
    for at in range(0, 300, 50):
        running.report(at, at + 50, failed=[(at + 7, at + 9)])
    WrittenJob(journal, JobNumber(2)).create(name="nightly").submit(60).seal().mark(60).report(0, 60)
    retried = WrittenJob(journal, JobNumber(3)).create().submit(40).seal().mark(40)
    retried.report(0, 20, failed=[(5, 10)]).cancel(20, 30).retry(5, 10).retry(20, 25).report(20, 25)
    return journal


def agreed(path: Path) -> Repaired:
    """Repair, and agree to every loss."""
    return repair(path, lambda _findings, _losses: True)


def change(path: Path, *statements: str) -> None:
    """Change a closed journal behind its back."""
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def restarted(path: Path) -> dict[int, Job]:
    """Start a master's engine on the journal, read all that it can be asked for, and return its jobs."""
    assert verify(path).findings == []
    journal = SqliteJournal(path, Durability.PROCESS, ballast=0)
    try:
        jobs = dict(Engine(journal, ManualClock(), Limits()).core.jobs)
        for job in jobs.values():
            assert journal.read_payloads(job.number, 0, job.total) == payloads(0, job.total)
            rows = journal.read_arrivals(job.number, 0, MUCH)
            assert [row.sequence for row in rows] == list(range(1, job.next_sequence))
            for start, stop in _ended(job):
                pieces = journal.read_index(job.number, start, stop, MUCH)
                assert sum(piece.count for piece in pieces) == stop - start
        return jobs
    finally:
        journal.close()


def _ended(job: Job) -> list[tuple[int, int]]:
    live = {index for start, stop in job.live_runs() for index in range(start, stop)}
    return [(index, index + 1) for index in range(job.total) if index not in live]


def count(job: Job, state: TaskState) -> int:
    """Count a job's tasks in a state."""
    return job.counts[list(TaskState).index(state)]


def test_sound_journal_is_left_alone(journal: SqliteJournal, tmp_path: Path) -> None:
    """There is nothing to repair, and nothing is written."""
    path = tmp_path / "journal.db"
    journal.close()
    before = path.read_bytes()
    assert verify(path).sound
    assert not agreed(path).done
    assert path.read_bytes() == before
    assert not (tmp_path / "journal.db.damaged").exists()


def test_verify_counts_what_is_there(journal: SqliteJournal, tmp_path: Path) -> None:
    """A sound journal is told in numbers."""
    journal.close()
    found = verify(tmp_path / "journal.db")
    assert (found.jobs, found.tasks, found.chunks, found.outcomes, found.epochs) == (3, 1100, 12, 10, 1)
    assert found.format == FORMAT


LOSSES: dict[str, tuple[Sequence[str], Callable[[Loss], object]]] = {
    "a chunk in the middle": (
        ["DELETE FROM chunks WHERE job = 1 AND ordinal = 4"],
        lambda loss: (loss.job, loss.tasks, loss.requeued, loss.gone) == (1, (400, 1000), (), False),
    ),
    "the last chunk": (
        ["DELETE FROM chunks WHERE job = 1 AND ordinal = 9"],
        lambda loss: (loss.job, loss.tasks) == (1, (900, 1000)),
    ),
    "a chunk of tasks that ended": (
        ["UPDATE chunks SET lines = x'5B5D' WHERE job = 2"],
        lambda loss: (loss.job, loss.name, loss.tasks) == (2, "nightly", (0, 60)),
    ),
    "an outcome row": (
        ["UPDATE outcomes SET number = 9 WHERE job = 1 AND sequence = 3"],
        lambda loss: (loss.job, loss.tasks, loss.requeued) == (1, (1000, 1000), ((100, 300),)),
    ),
    "a record": (
        ["DELETE FROM records WHERE job = 1 AND n = 14"],
        lambda loss: (loss.job, loss.records, loss.requeued) == (1, 14, ()),
    ),
    "a record of a chunk": (
        ["UPDATE records SET crc = 0 WHERE job = 1 AND n = 5"],
        lambda loss: (loss.job, loss.records, loss.tasks) == (1, 5, (400, 1000)),
    ),
    "all records": (
        ["DELETE FROM records WHERE job = 2"],
        lambda loss: (loss.job, loss.gone, loss.tasks) == (2, True, (0, 60)),
    ),
    "a retried outcome": (
        ["DELETE FROM outcomes WHERE job = 3 AND sequence = 3"],
        lambda loss: (loss.job, loss.requeued) == (3, ((20, 30),)),
    ),
}


@pytest.mark.parametrize("what", LOSSES)
def test_what_is_lost_is_named_and_the_rest_starts(journal: SqliteJournal, tmp_path: Path, what: str) -> None:
    """One damaged job is cut to what is sound of it, the others lose nothing, and the damaged file stays aside."""
    statements, told = LOSSES[what]
    path = tmp_path / "journal.db"
    journal.close()
    whole = restarted_copy(path, tmp_path / "whole.db")
    change(path, *statements)
    damaged = path.read_bytes()
    assert not verify(path).sound
    repaired = agreed(path)
    assert [told(loss) for loss in repaired.losses] == [True], repaired.losses
    assert Path(repaired.aside).read_bytes() == damaged
    jobs = restarted(path)
    for number, job in whole.items():
        if number != repaired.losses[0].job:
            assert jobs[number].states == job.states
            assert jobs[number].next_record == job.next_record
    assert not agreed(path).done


def restarted_copy(path: Path, copy: Path) -> dict[int, Job]:
    """Say what a master would have made of the journal."""
    copy.write_bytes(path.read_bytes())
    return restarted(copy)


def test_tasks_whose_payloads_are_gone_end_a_submission_that_can_go_on(journal: SqliteJournal, tmp_path: Path) -> None:
    """A sealed job that lost tasks is abandoned where it was cut, so that the same key goes on from there."""
    path = tmp_path / "journal.db"
    more = WrittenJob(journal, JobNumber(4)).create(key="nightly").submit(10).submit(10).seal()
    more.mark(20).report(0, 20)
    journal.close()
    change(path, "DELETE FROM chunks WHERE job = 4 AND ordinal = 1")
    agreed(path)
    job = restarted(path)[4]
    assert (job.total, job.sealed, job.abandoned, job.ended, job.next_ordinal) == (10, True, True, True, 1)
    assert count(job, TaskState.SUCCEEDED) == 10


def test_outcome_that_may_be_of_before_a_retry_is_not_kept(journal: SqliteJournal, tmp_path: Path) -> None:
    """A task that failed, was retried and failed again falls back when only the first outcome is left."""
    path = tmp_path / "journal.db"
    job = WrittenJob(journal, JobNumber(4)).create().submit(10).seal().mark(10).report(0, 10, failed=[(3, 5)])
    job.retry(3, 4).report(3, 4, failed=[(3, 4)])
    journal.close()
    change(path, "DELETE FROM outcomes WHERE job = 4 AND sequence = 2")
    (loss,) = agreed(path).losses
    assert loss.requeued == ((3, 5),)
    assert count(restarted(path)[4], TaskState.SUCCEEDED) == 8


def test_checkpointed_job_is_cut_under_its_checkpoint(journal: SqliteJournal, tmp_path: Path) -> None:
    """Records before a checkpoint are gone by then, and the rows it speaks of can still be damaged."""
    path = tmp_path / "journal.db"
    journal.close()
    journal = SqliteJournal(path, Durability.PROCESS, ballast=0)
    engine = Engine(journal, ManualClock(), Limits())
    from taskgrid.scheduler import checkpoint

    for number, job in engine.core.jobs.items():
        journal.checkpoint(number, job.next_record, checkpoint.dump(job))
    journal.flush()
    journal.close()
    change(path, "DELETE FROM outcomes WHERE job = 1 AND sequence = 2", "UPDATE checkpoints SET crc = 0 WHERE job = 2")
    change(path, "DELETE FROM records")
    first, second = agreed(path).losses
    assert (first.job, first.requeued) == (1, ((50, 300),))
    assert (second.job, second.gone, second.tasks) == (2, True, (0, 60))
    jobs = restarted(path)
    assert set(jobs) == {1, 3}
    assert count(jobs[1], TaskState.SUCCEEDED) == 48


def test_nothing_changes_without_consent(journal: SqliteJournal, tmp_path: Path) -> None:
    """Who is told what would be lost may say no."""
    path = tmp_path / "journal.db"
    journal.close()
    change(path, "DELETE FROM chunks WHERE job = 1 AND ordinal = 4")
    before = path.read_bytes()
    assert not repair(path, lambda _findings, _losses: False).done
    assert path.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"journal.db", "journal.db.lock"}


def test_tokens_and_epochs_of_before_are_strangers_afterwards(journal: SqliteJournal, tmp_path: Path) -> None:
    """What a worker still holds may be of tasks that are gone: after a repair its reports are refused."""
    path = tmp_path / "journal.db"
    before = journal.epoch
    journal.close()
    change(path, "DELETE FROM chunks WHERE job = 1 AND ordinal = 4")
    agreed(path)
    again = SqliteJournal(path, ballast=0)
    assert again.epoch.number > before.number
    assert before.salt not in again.epochs.values()
    again.close()


def test_journal_in_use_is_not_repaired(journal: SqliteJournal, tmp_path: Path) -> None:
    """Whose it is comes first."""
    with pytest.raises(JournalLocked, match=str(os.getpid())):
        agreed(tmp_path / "journal.db")
    journal.close()


def test_interrupted_repair_is_finished_before_anybody_opens_the_journal(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    """Between the decision and the last rename nobody takes the old file for the journal, nor starts a new one."""
    path, waits = tmp_path / "journal.db", tmp_path / "journal.db.repaired"
    journal.close()
    whole = path.read_bytes()
    change(path, "DELETE FROM chunks WHERE job = 1 AND ordinal = 4")
    damaged = path.read_bytes()
    waits.write_bytes(whole)
    for _ in range(2):
        with pytest.raises(JournalError, match="did not finish"):
            SqliteJournal(path)
        assert "did not finish" in verify(path).findings[0]
    done = agreed(path)
    assert (done.done, done.resumed) == (True, True)
    assert path.read_bytes() == whole
    assert (tmp_path / "journal.db.damaged").read_bytes() == damaged
    restarted(path)


def test_what_an_earlier_repair_kept_is_never_written_over(journal: SqliteJournal, tmp_path: Path) -> None:
    """The damaged file is the only witness of what is gone."""
    path = tmp_path / "journal.db"
    journal.close()
    (tmp_path / "journal.db.damaged").write_bytes(b"kept")
    change(path, "DELETE FROM chunks WHERE job = 1 AND ordinal = 4")
    with pytest.raises(JournalError, match="in the way"):
        agreed(path)
    assert (tmp_path / "journal.db.damaged").read_bytes() == b"kept"


def test_frames_behind_a_damaged_one_still_count(journal: SqliteJournal, tmp_path: Path) -> None:
    """A flipped bit in the log costs at most what no later frame wrote again."""
    path, log = tmp_path / "journal.db", tmp_path / "journal.db-wal"
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    content = log.read_bytes()
    frame = 24 + 4096
    for flipped in (40, 33 + frame * 20, 33 + frame * 60 + 2000):
        (crashed / "journal.db").write_bytes(path.read_bytes())
        (crashed / "journal.db-wal").write_bytes(
            content[:flipped] + bytes([content[flipped] ^ 4]) + content[flipped + 1 :]
        )
        with pytest.raises(JournalDamaged):
            SqliteJournal(crashed / "journal.db")
        agreed(crashed / "journal.db")
        jobs = restarted(crashed / "journal.db")
        assert set(jobs) == {1, 2, 3}
        assert jobs[2].ended
        for file in list(crashed.iterdir()):
            file.unlink()
    journal.close()


def test_every_damaged_page_costs_only_its_own_jobs(journal: SqliteJournal, tmp_path: Path) -> None:
    """Whichever page turns to garbage, all that is kept is true, and what is not kept is named."""
    path = tmp_path / "journal.db"
    journal.close()
    whole = restarted_copy(path, tmp_path / "whole.db")
    content = path.read_bytes()
    pages = len(content) // 4096
    kept = tried = 0
    for page in range(1, pages, 1 if LONG else 3):
        damaged = tmp_path / f"page-{page}.db"
        damaged.write_bytes(content[: page * 4096] + b"\xa5" * 4096 + content[(page + 1) * 4096 :])
        if verify(damaged).sound:
            continue
        losses = {loss.job: loss for loss in agreed(damaged).losses}
        jobs = restarted(damaged)
        for number, job in whole.items():
            assert number in losses or jobs[number].states == job.states, f"page {page}: job {number}"
        kept, tried = kept + len(jobs), tried + 1
    assert tried > 5
    assert kept >= 2 * tried
