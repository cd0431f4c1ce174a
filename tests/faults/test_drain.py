"""Orderly ends: a worker that drains costs nobody anything, a master that goes leaves its workers at work."""

from __future__ import annotations

import signal
import time

from proof_grid import attempts_begun, hire, traced
from proof_tasks import sleeps, waits_for_file
from real_programs import Programs, children_of, eventually

from taskgrid.lifecycle import TaskState


def test_a_worker_drained_in_the_middle_of_a_job_costs_no_attempt(programs: Programs) -> None:
    """It finishes what runs, gives back what waits, ends with status 0; another worker does the rest."""
    traced(programs).start_master()
    drained = hire(programs, slots=2)
    with programs.grid() as grid:
        job = grid.submit_job(sleeps, [0.05] * 60)
        eventually(lambda: len(attempts_begun(programs)) >= 8)
        other = hire(programs)
        assert programs.end(drained) == 0
        assert list(job.results()) == [1] * 60
        tasks = grid.control.tasks(job.id, ((0, 60),))
        assert {task.attempts for task in tasks} <= {0, 1}
        assert job.view().refused_reports == 0
    assert sorted(begun.index for begun in attempts_begun(programs)) == list(range(60)), "each ran once"
    assert programs.end(other) == 0
    eventually(lambda: len(programs.alive()) == 1, what="only the master is left")


def test_what_outlasts_the_drain_timeout_is_stopped_and_given_back_at_no_cost(programs: Programs) -> None:
    """The task runs again elsewhere, as its first attempt."""
    go = programs.folder / "go"
    traced(programs).start_master()
    drained = hire(programs, "--drain-timeout=500ms")
    with programs.grid() as grid:
        job = grid.submit_job(waits_for_file, [str(go)])
        eventually(lambda: len(attempts_begun(programs)) == 1)
        assert programs.end(drained) == 0
        eventually(lambda: job.progress().counts == {TaskState.QUEUED: 1})
        other = hire(programs)
        eventually(lambda: len(attempts_begun(programs)) == 2)
        go.touch()
        assert job.wait(40)
        (task,) = grid.control.tasks(job.id, ((0, 1),))
        assert task.state is TaskState.SUCCEEDED
        assert not task.history, "nothing is held against it"
    assert programs.end(other) == 0


def test_a_second_signal_stops_a_worker_at_once(programs: Programs) -> None:
    """What runs is killed and given back; the worker ends in good order."""
    go = programs.folder / "go"
    traced(programs).start_master()
    worker = hire(programs)
    with programs.grid() as grid:
        job = grid.submit_job(waits_for_file, [str(go)])
        eventually(lambda: len(attempts_begun(programs)) == 1)
        running = children_of(worker.pid)
        worker.send_signal(signal.SIGTERM)
        eventually(lambda: any(each.draining for each in grid.control.workers()), what="the worker drains")
        assert worker.poll() is None, "it waits for the task"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0, "long before the drain timeout"
        assert not set(running) & programs.alive().keys()
        eventually(lambda: job.progress().counts == {TaskState.QUEUED: 1})


def test_a_master_leaves_within_a_second_and_its_workers_work_on(programs: Programs) -> None:
    """They compute what they hold, keep it, and report it to the next master under the same leases."""
    go = programs.folder / "go"
    master = traced(programs).start_master()
    worker = hire(programs)
    with programs.grid() as grid:
        job = grid.submit_job(waits_for_file, [str(go)])
        eventually(lambda: len(attempts_begun(programs)) == 1)
        ended_at = time.monotonic()
        assert programs.end(master) == 0
        assert time.monotonic() - ended_at < 12, "about one second, and in any case not when a long poll (20 s) ends"
        go.touch()
        programs.start_master()
        assert list(job.results()) == [1]
        assert job.view().refused_reports == 0
    assert len(attempts_begun(programs)) == 1, "it ran once"
    assert programs.end(worker) == 0
