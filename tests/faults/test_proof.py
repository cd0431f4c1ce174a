"""The offline checker catches what it is there to catch: each rule, broken on purpose once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from history import History
from proof import Proof, audit, keep_records, prove, recoveries
from proof_grid import Attempt

from taskgrid.journal.open import open_journal
from taskgrid.journal.protocol import ChunkRow, Durability, Group, OutcomeRow
from taskgrid.model import (
    Accepted,
    Cause,
    Created,
    JobId,
    JobNumber,
    JobSpec,
    Leased,
    Record,
    Reported,
    Retried,
    Run,
    SecondTry,
    Token,
    new_id,
)
from taskgrid.scheduler import checkpoint


def token(counter: int, epoch: int = 1) -> Token:
    """Return a token of the only history."""
    return Token(epoch, counter, "s")


def reported(under: Token, *runs: Run, again: int | None = None) -> Reported:
    """Return a report of successes, and perhaps of a failed attempt."""
    second = () if again is None else (SecondTry(index=again, cause=Cause.CRASH, due_at=0),)
    return Reported(token=under, number=1, runs=runs, first_sequence=1, again=second, at=0.0)


TWO = Accepted(ordinal=0, first=0, count=2)
BOTH = (0, 2)
CASES: dict[str, tuple[tuple[Record, ...], str]] = {
    "all is well": ((TWO, reported(token(1), BOTH)), ""),
    "leased again and ended": ((TWO, Leased(token=token(2), runs=(BOTH,)), reported(token(2), BOTH)), ""),
    "failed, and ended at its second attempt": (
        (TWO, reported(token(1), (0, 1), again=1), reported(token(2), (1, 2))),
        "",
    ),
    "retried, and ended again": (
        (TWO, reported(token(1), BOTH), Retried(runs=(BOTH,), floor=token(2), at=0), reported(token(2), BOTH)),
        "",
    ),
    "ended twice": ((TWO, reported(token(1), BOTH), reported(token(1), (1, 2))), "ended twice"),
    "committed by a worker of before": (
        (TWO, Leased(token=token(5), runs=(BOTH,)), reported(token(4), BOTH)),
        "superseded",
    ),
    "committed by a worker of before a master's restart": (
        (TWO, Leased(token=token(1, epoch=2), runs=(BOTH,)), reported(token(9), BOTH)),
        "superseded",
    ),
    "a failed attempt reports again": (
        (TWO, reported(token(1), (0, 1), again=1), reported(token(1), (1, 2))),
        "superseded",
    ),
    "leased after its end": ((TWO, reported(token(1), BOTH), Leased(token=token(2), runs=((0, 1),))), "after its end"),
    "leased under an older token": (
        (TWO, Leased(token=token(5), runs=(BOTH,)), Leased(token=token(4), runs=(BOTH,)), reported(token(5), BOTH)),
        "not above its floor",
    ),
    "never accepted": ((TWO, reported(token(1), (0, 3))), "never accepted"),
    "a chunk is missing": ((TWO, Accepted(ordinal=2, first=4, count=1), reported(token(1), (0, 3))), "begins at 4"),
}


@pytest.mark.parametrize(("records", "finding"), CASES.values(), ids=CASES)
def test_each_rule_of_the_fence_is_checked(records: tuple[Record, ...], finding: str) -> None:
    """What may be passes; what must not be is named."""
    proof = Proof()
    audit(records, proof)
    assert (finding in " ".join(proof.wrong)) if finding else not proof.wrong
    assert proof.lost == 0 or finding


def test_a_task_without_an_end_is_lost() -> None:
    """Accepted and never ended is counted, and demanded."""
    proof = Proof()
    audit((TWO, reported(token(1), (0, 1))), proof)
    assert (proof.accepted, proof.lost) == (2, 1)
    with pytest.raises(AssertionError, match="1 lost"):
        proof.demand()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return a journal with a job of two tasks, each ended once, whose first records are gone."""
    path = tmp_path / "journal.db"
    keep_records(path)
    made = open_journal(str(path), Durability.PROCESS)
    spec = JobSpec(id=JobId(new_id()), function="m:f", owner="me@here")
    records = (Created(number=JobNumber(1), spec=spec, at=0), TWO, reported(token(1), BOTH))
    lines = b"[0, 1, 7]\n[1, 1, 7]"
    group = Group(
        JobNumber(1), 0, records, (ChunkRow(0, 0, 2, b"[0]\n[1]"),), (OutcomeRow(1, 0, 2, token(1), 1, lines),)
    )
    made.append([group], lambda _: None)
    made.flush()
    job = checkpoint.replay(None, iter(records))
    assert job is not None
    made.checkpoint(JobNumber(1), 3, checkpoint.dump(job))
    made.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM records WHERE n < 3")
    return path


def judged(journal: Path, *, attempts: int = 2, got: tuple[tuple[int, list[int]], ...] = ()) -> Proof:
    """Prove the job, with so many attempts in the trace and those values seen by a caller."""
    history = History(journal.with_name("history.jsonl"))
    history.accepted(1, 2)
    history.got(1, "caller", got)
    begun = [Attempt(1, index, 1, 7, 0.0) for index in range(attempts)]
    return prove(journal, 1, history=history, attempts=begun, expected=lambda _, value, of: tuple(value[1:]) in of)


def test_a_sound_journal_is_proven_though_its_records_were_dropped(journal: Path) -> None:
    """The copy that `keep_records` had made is what the checker reads."""
    proof = judged(journal, got=((0, [0, 1, 7]), (1, [1, 1, 7])))
    proof.demand()
    assert proof.accepted == 2


def test_a_value_that_no_attempt_returned_is_found(journal: Path) -> None:
    """The attempts' own trace is what a value is held against."""
    assert "none of its attempts" in judged(journal, attempts=1).wrong[0]


def test_a_caller_who_saw_something_else_is_found(journal: Path) -> None:
    """What a caller got must be what the journal has, and once."""
    assert "the journal has [0, 1, 7]" in judged(journal, got=((0, [5, 1, 7]),)).wrong[0]
    assert "got task 0 3 times" in judged(journal, got=((0, [0, 1, 7]), (0, [0, 1, 7]))).wrong[-1]


def test_recovery_is_counted_from_the_kill_to_the_next_attempt_of_what_ran(tmp_path: Path) -> None:
    """A task that was over when its process died never begins again, and has no recovery."""
    history = History(tmp_path / "history.jsonl")
    history.killed("task", [7, 8])
    at = history.events()[0]["at"]
    attempts = [
        Attempt(1, 0, 1, 7, at - 2.0),
        Attempt(1, 1, 1, 7, at - 1.0),
        Attempt(1, 2, 1, 8, at - 1.0),
        Attempt(1, 1, 2, 9, at + 0.5),
    ]
    assert recoveries(history, attempts) == {"task": [pytest.approx(0.5)]}
