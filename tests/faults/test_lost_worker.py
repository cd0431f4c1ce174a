"""Workers that are killed: nobody waits for what the dead were waiting for, and nobody pays for another's deed."""

from __future__ import annotations

import time

import pytest
from conftest import Record
from proof_grid import attempts_begun, hire, traced
from proof_tasks import kills_its_agent, waits_for_file
from real_programs import Programs, eventually
from scale import in_full_only

from taskgrid import Grid
from taskgrid.errors import WorkerLost

AT_ONCE = 15.0
"""Seconds: far less than a lease (30 s) or a long poll (20 s), and far more than a busy machine takes."""


def connected(grid: Grid) -> int:
    """Return how many workers are there."""
    return sum(each.connected for each in grid.control.workers())


def test_a_killed_workers_task_runs_elsewhere_after_a_moment(programs: Programs) -> None:
    """Its connections ended, so nobody waits for its lease to: an idle worker has the task at once."""
    go = programs.folder / "go"
    traced(programs).start_master()
    first = hire(programs)
    with programs.grid() as grid:
        job = grid.submit_job(waits_for_file, [str(go)])
        eventually(lambda: len(attempts_begun(programs)) == 1)
        hire(programs)
        eventually(lambda: connected(grid) == 2)
        programs.kill(first)
        eventually(lambda: len(attempts_begun(programs)) == 2, AT_ONCE, "it runs again")
        go.touch()
        assert list(job.results()) == [2]


def test_workers_killed_while_they_were_idle_delay_no_task(programs: Programs) -> None:
    """Their requests for work die with them: what comes goes to those that live."""
    go = programs.folder / "go"
    go.touch()
    traced(programs).start_master()
    doomed = [hire(programs) for _ in range(3)]
    with programs.grid() as grid:
        eventually(lambda: connected(grid) == 3)
        hire(programs)
        eventually(lambda: connected(grid) == 4)
        for worker in doomed:
            programs.kill(worker)
        eventually(lambda: connected(grid) == 1)
        begun_at = time.monotonic()
        for _ in range(3):
            assert list(grid.submit_job(waits_for_file, [str(go)]).results()) == [1]
        assert time.monotonic() - begun_at < AT_ONCE


@in_full_only
@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.timeout(240)
def test_a_task_that_kills_its_worker_takes_none_of_those_beside_and_behind_it_along(
    programs: Programs, record_property: Record, slots: int
) -> None:
    """Each worker is replaced; the killer fails after two losses in company and five alone, and all others succeed."""
    traced(programs).start_master()
    worker, lost = hire(programs, slots=slots), 0
    with programs.grid() as grid:
        deeds = [False, True, *[False] * 6]
        job = grid.submit_job(kills_its_agent, deeds)
        while not job.wait(0.1):
            if worker.poll() is not None:
                worker, lost = hire(programs, slots=slots), lost + 1
        outcomes = list(job.results(failures="yield"))
        tasks = {task.index: task for task in grid.control.tasks(job.id, ((0, len(deeds)),))}
    assert [isinstance(outcome, WorkerLost) for outcome in outcomes] == deeds, outcomes
    assert [index for index, task in tasks.items() if task.history] == [1], "nobody else was ever charged"
    assert lost == 2 + 5
    assert {attempt.index for attempt in attempts_begun(programs)} == set(range(len(deeds)))
    record_property("tasks", len(deeds))
