"""Whatever is killed, whenever: every accepted task gets exactly one outcome, the right one.

What is killed and when comes from a seed (`battle`); two callers read meanwhile, in both orders, and
one of them is among the victims. The judgement is made afterwards, from records that know nothing
of each other (`proof`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from battle import JOB_KEY, Battle, Reader, fight, strikes_of
from conftest import Record
from history import History
from leaks import back_to, held
from proof import prove, recoveries, seen_by
from proof_grid import LEASE, attempts_begun, traced
from proof_tasks import traced_square
from real_programs import Programs
from scale import in_full_only, scaled, seeds

from taskgrid import Grid
from taskgrid.client.job import Job
from taskgrid.errors import UnknownJob

TASKS = scaled(1_000, 10_000, 10_000)
ROUNDS = scaled(1, 1, 2)
BOUND = 240.0


@pytest.mark.timeout(BOUND * 2)
@pytest.mark.parametrize("seed", seeds(1, 15, 100))
def test_kill_nine_of_anything_in_any_order_loses_no_task_and_doubles_none(
    programs: Programs, history: History, seed: int, record_property: Record
) -> None:
    """Master, workers, task processes and clients die at random points; each task has one outcome, the right one."""
    before = held(os.getpid())
    battle = Battle.begin(programs, history, TASKS)
    with programs.grid() as grid:
        job = taken_up(grid)
        reader = Reader(history, job.number, "arrivals", job.as_completed)
        fight(battle, reader, list(strikes_of(seed, TASKS, ROUNDS)), bound=BOUND)
        reader.end.result(BOUND)
        number = job.number
    assert battle.client.wait(BOUND) == 0, programs.said()
    battle.end()
    back_to(before, os.getpid())
    attempts = attempts_begun(programs)
    proof = prove(programs.journal, number, history=history, attempts=attempts, expected=is_square)
    record_property("seed", seed)
    record_property("tasks", proof.accepted)
    record_property("lost", proof.lost)
    record_property("doubled", proof.doubled)
    for seconds in (each for several in recoveries(history, attempts).values() for each in several):
        record_property("recovery", seconds)
    proof.demand()
    assert proof.accepted == TASKS
    assert seen_by(history, number, "arrivals") == TASKS
    assert seen_by(history, number, f"client {battle.client.pid}") == TASKS
    assert not list((programs.folder / "tmp").iterdir()), "temporary files are left"


def taken_up(grid: Grid) -> Job:
    """Return the client's job, once there is one."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return grid.job(key=JOB_KEY, function=traced_square)
        except UnknownJob:
            assert time.monotonic() < deadline, "the client never submitted"
            time.sleep(0.02)


def is_square(index: int, value: Any, attempts: set[tuple[int, int]]) -> bool:
    """Say whether one of the attempts of `traced_square` could have returned this."""
    square, attempt, pid = value
    return square == index * index and (attempt, pid) in attempts


@in_full_only
@pytest.mark.timeout(180)
def test_a_master_killed_while_a_client_submits_takes_each_item_once(programs: Programs) -> None:
    """The submission goes on with the next master: no chunk is missing, none is doubled."""
    master = traced(programs).start_master(*LEASE)

    def items() -> Iterator[int]:
        nonlocal master
        for item in range(9_000):
            if item % 2_500 == 2_499:
                programs.kill(master)
                master = programs.start_master(*LEASE, wait=False)
            yield item

    with programs.grid() as grid:
        job = grid.submit_job(traced_square, items())
        assert (job.view().total, job.view().sealed) == (9_000, True)
        payloads = list(job.payloads((0, 9_000)))
    assert payloads == [b"[%d]" % item for item in range(9_000)]
