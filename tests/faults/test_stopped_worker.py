"""A worker that stands still for longer than its lease, and comes back to report.

It is stopped by SIGSTOP, its task processes are not: they end meanwhile, and nobody carries their
outcomes. What becomes of these when the worker goes on is decided by the fence alone: worth nothing
where the task was leased again, taken where it was not.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from proof_grid import SHORT_LEASE, attempts_begun, hire, traced
from proof_tasks import waits_for_file, waits_for_turn
from real_programs import Programs, eventually

from taskgrid import Grid
from taskgrid.client.job import Job
from taskgrid.lifecycle import TaskState
from taskgrid.transport.protocol import Selector


def never(true: Callable[[], object], within: float) -> None:
    """Watch for a while that something does not come true."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        assert not true(), "it came true"
        time.sleep(0.02)


def state_is(job: Job, state: TaskState) -> bool:
    """Say whether the job's only task is in that state."""
    return job.progress().counts == {state: 1}


def holds_nothing(grid: Grid, pid: int) -> bool:
    """Say whether the worker is back, and holds no lease in the master's eyes."""
    return any(each.pid == pid and each.connected and not each.holds for each in grid.control.workers())


def test_a_worker_stopped_beyond_its_lease_can_not_end_a_task_that_another_has(programs: Programs) -> None:
    """Its outcome comes while the second attempt runs, and is refused or dropped: the second one's counts."""
    turns = programs.folder / "turns"
    turns.mkdir()
    traced(programs).start_master(*SHORT_LEASE)
    stopped = hire(programs)
    with programs.grid() as grid:
        job = grid.submit_job(waits_for_turn, [str(turns)])
        eventually(lambda: len(attempts_begun(programs)) == 1)
        os.kill(stopped.pid, signal.SIGSTOP)
        other = hire(programs)
        eventually(lambda: len(attempts_begun(programs)) == 2, what="another worker has the task")
        (turns / "1").touch()
        never(lambda: job.view().complete, 0.3)
        os.kill(stopped.pid, signal.SIGCONT)
        eventually(lambda: holds_nothing(grid, stopped.pid), what="the stopped worker lets go of the task")
        assert state_is(job, TaskState.LEASED)
        (turns / "2").touch()
        assert list(job.results()) == [2]
        assert job.view().sequence == 1
        assert grid.submit_job(waits_for_turn, [str(turns)] * 20).wait(40), "both go on working"
    assert [programs.end(worker) for worker in (stopped, other)] == [0, 0]


def test_a_late_report_is_taken_while_nobody_else_had_the_task(programs: Programs) -> None:
    """No work is thrown away: the lease ended, the task waits, its outcome comes and counts."""
    go = programs.folder / "go"
    traced(programs).start_master(*SHORT_LEASE)
    worker = hire(programs)
    with programs.grid() as grid:
        job = grid.submit_job(waits_for_file, [str(go)])
        eventually(lambda: len(attempts_begun(programs)) == 1)
        os.kill(worker.pid, signal.SIGSTOP)
        eventually(lambda: state_is(job, TaskState.QUEUED), what="the lease ends")
        go.touch()
        # The task's process writes its outcome into the channel; the agent is not there to read it.
        os.kill(worker.pid, signal.SIGCONT)
        assert list(job.results()) == [1]
        assert job.view().refused_reports == 0
    assert len(attempts_begun(programs)) == 1
    assert programs.end(worker) == 0


def test_a_master_that_stood_still_takes_no_lease_away(programs: Programs) -> None:
    """Its own pause is not the workers' fault: leases are extended by it."""
    go = programs.folder / "go"
    master = traced(programs).start_master(*SHORT_LEASE)
    workers = [hire(programs), hire(programs)]
    with programs.grid() as grid:
        job = grid.submit_job(waits_for_file, [str(go)])
        eventually(lambda: len(attempts_begun(programs)) == 1)
        os.kill(master.pid, signal.SIGSTOP)
        never(lambda: len(attempts_begun(programs)) > 1, 3.0)
        os.kill(master.pid, signal.SIGCONT)
        never(lambda: len(attempts_begun(programs)) > 1, 1.0)
        go.touch()
        assert list(job.results()) == [1]
        assert grid.control.job(Selector(job=job.id)).refused_reports == 0
    assert [programs.end(worker) for worker in workers] == [0, 0]
