"""Retention, as a master's upkeep sees to it: what goes, and what its meters say."""

from __future__ import annotations

from datetime import timedelta

from journal_scene import WrittenJob

from taskgrid.clock import ManualClock
from taskgrid.journal.memory import MemoryJournal
from taskgrid.master.engine import Engine
from taskgrid.master.upkeep import Upkeep
from taskgrid.model import JobNumber
from taskgrid.scheduler.limits import Limits
from taskgrid.settings import MasterSettings


def engine_with_ended_jobs(count: int, clock: ManualClock) -> Engine:
    """Return a master's engine whose jobs ended at 3 s, but for one that goes on."""
    before = MemoryJournal()
    for number in range(1, count + 2):
        job = WrittenJob(before, JobNumber(number)).create().submit(10).seal().mark(10)
        if number <= count:
            job.report(0, 10)
    engine = Engine(MemoryJournal(after=before), clock, Limits())
    engine.meters.watch("retention")
    engine.meters.watch("retention_bytes")
    return engine


def reached(engine: Engine) -> list[int]:
    """Return how many jobs went for their age, and for the journal's size."""
    return [limit.reached for limit in engine.meters.show()]


def test_jobs_are_forgotten_after_their_retention_and_counted() -> None:
    """Those that ended long enough ago go; one that goes on stays, however old."""
    clock = ManualClock(60.0)
    engine = engine_with_ended_jobs(3, clock)
    upkeep = Upkeep(engine, MasterSettings(retention=timedelta(seconds=100)))
    upkeep.forget()
    assert (len(engine.core.jobs), reached(engine)) == (4, [0, 0])
    clock.advance(100.0)
    upkeep.forget()
    assert (list(engine.core.jobs), reached(engine)) == ([4], [3, 0])


def test_jobs_are_forgotten_oldest_first_while_the_journal_is_too_large_and_counted() -> None:
    """A few at a time: what that frees shows only later."""
    engine = engine_with_ended_jobs(20, ManualClock(60.0))
    upkeep = Upkeep(engine, MasterSettings(retention_bytes=1))
    upkeep.forget()
    assert (list(engine.core.jobs), reached(engine)) == (list(range(3, 22)), [0, 2])
