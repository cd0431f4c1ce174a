"""Ctrl-C, again and again, at random moments of a client's calls: no call ever gets another's answer.

The interrupt is a timer's signal whose handler raises, in the thread that calls, wherever that
stands: in a send, in a receive, in a lock, between two lines of our own code.
"""

from __future__ import annotations

import gc
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest
from conftest import Record
from proof_grid import hire, traced
from proof_tasks import poison
from real_programs import Programs
from scale import FIRST_SEED, scaled

from taskgrid import Grid
from taskgrid.client.job import Job

CALLS = scaled(300, 5_000, 50_000)
JOBS = 8


class Alarm:
    """Raises in the main thread after a moment, unless the block is over by then."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._inside = False
        self._longest = 0.004
        self.raised = 0

    def handle(self, _: int, __: FrameType | None) -> None:
        """Raise, if there is a block to interrupt."""
        if self._inside:
            self._inside = False
            raise KeyboardInterrupt

    def lost(self, _: object) -> None:
        """Hear of an interrupt that was raised where nobody can hear it: in a finalizer."""

    def during(self, call: Callable[[], None]) -> None:
        """Call, and interrupt that at a random moment of the time that such calls take."""
        wait = self._chance.uniform(0.00005, self._longest)
        begun = time.perf_counter()
        try:
            try:
                self._inside = True
                signal.setitimer(signal.ITIMER_REAL, wait)
                call()
            finally:
                self._inside = False
            self._longest = min(0.004, 0.8 * self._longest + 0.4 * (time.perf_counter() - begun))
        except KeyboardInterrupt:
            self.raised += 1


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    """Give an alarm, and put the signal's handler back afterwards."""
    alarm = Alarm(FIRST_SEED)
    before, hook = signal.signal(signal.SIGALRM, alarm.handle), sys.unraisablehook
    sys.unraisablehook = alarm.lost
    yield alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    gc.collect()  # what an interrupt left open between two lines of ours is let go here, with a warning
    sys.unraisablehook = hook


@pytest.mark.timeout(900, method="thread")
def test_an_interrupted_call_spoils_no_later_one(programs: Programs, alarm: Alarm, record_property: Record) -> None:
    """Each call that is not interrupted gets its own answer, after however many that were."""
    traced(programs).start_master()
    hire(programs)
    with programs.grid() as grid:
        jobs = [grid.submit_job(poison, [f"{job} {item}" for item in range(5)]) for job in range(JOBS)]
        assert all(job.wait(60) for job in jobs)
        questions = [ask for number, job in enumerate(jobs) for ask in questions_of(grid, job, number)]
        chance = random.Random(FIRST_SEED)
        for _ in range(CALLS):
            alarm.during(chance.choice(questions))
        for ask in questions:
            ask()
    assert alarm.raised > CALLS // 10, f"{alarm.raised} of {CALLS} calls were interrupted: too few to tell"
    record_property("tasks", 5 * JOBS)
    record_property("seed", FIRST_SEED)


def questions_of(grid: Grid, job: Job, number: int) -> list[Callable[[], None]]:
    """Return calls whose answers only this job can have; each checks what it gets."""

    def payloads() -> None:
        assert list(job.payloads((0, 5))) == [b'["%d %d"]' % (number, item) for item in range(5)]

    def results() -> None:
        assert list(job.results()) == [1] * 5

    def view() -> None:
        assert job.view().number == job.number

    def tasks() -> None:
        assert [task.index for task in grid.control.tasks(job.id, ((number % 5, 5),))] == list(range(number % 5, 5))

    return [payloads, results, view, tasks]
