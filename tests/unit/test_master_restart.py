"""What a master makes of its journal when it starts, over a journal in memory."""

from __future__ import annotations

from taskgrid.clock import ManualClock
from taskgrid.journal.memory import MemoryJournal
from taskgrid.journal.protocol import ChunkRow, Durability, Group
from taskgrid.lifecycle import TaskState
from taskgrid.master.engine import Engine
from taskgrid.model import Accepted, Cause, Created, JobId, JobNumber, JobSpec, Reported, Sealed, SecondTry, new_id
from taskgrid.scheduler import workers
from taskgrid.scheduler.limits import Limits

JOB = JobNumber(1)
FAILED_AT = 5_000.0
BACKOFF = 10.0


def journal_with_a_delayed_task() -> MemoryJournal:
    """Return the journal of a master that ended while a task waited for its second attempt."""
    before = MemoryJournal(Durability.POWER)
    spec = JobSpec(id=JobId(new_id()), function="m:f")
    again = SecondTry(index=0, cause=Cause.ERROR, due_at=FAILED_AT + BACKOFF)
    records = (
        Created(number=JOB, spec=spec, at=FAILED_AT - 1),
        Accepted(ordinal=0, first=0, count=1),
        Sealed(at=FAILED_AT - 1),
        Reported(
            token=Engine(before, ManualClock(), Limits()).core.new_token(),
            number=1,
            first_sequence=1,
            again=(again,),
            at=FAILED_AT,
        ),
    )
    before.append([Group(JOB, 0, records, (ChunkRow(0, 0, 1, b"[0]"),))], lambda _: None)
    before.flush()
    return MemoryJournal(Durability.POWER, after=before)


def test_a_clock_that_was_set_back_between_two_masters_delays_nothing() -> None:
    """A task that waits for ten seconds waits for ten, although the date says that these are years away."""
    clock = ManualClock(FAILED_AT - 365 * 86400)
    engine = Engine(journal_with_a_delayed_task(), clock, Limits())
    assert engine.core.jobs[JOB].counts[1] == 1, TaskState.DELAYED
    clock.advance(BACKOFF + 1)
    workers.tick(engine.core, engine.now())
    assert engine.core.jobs[JOB].counts[0] == 1, TaskState.QUEUED


def test_a_clock_that_goes_right_is_what_a_master_goes_by() -> None:
    """Time that passed between two masters has passed."""
    engine = Engine(journal_with_a_delayed_task(), ManualClock(FAILED_AT + 100), Limits())
    assert engine.now() == FAILED_AT + 100
