"""Workers that are killed where time counts: nobody waits for what the dead were waiting for."""

from __future__ import annotations

import time

from proof_grid import attempts_begun, hire, traced
from proof_tasks import waits_for_file
from real_programs import Programs, eventually

from taskgrid import Grid

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
