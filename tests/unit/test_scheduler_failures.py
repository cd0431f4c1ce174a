"""What follows from a failure: each cause's own count, backoff, another host, a lost worker's charge."""

from __future__ import annotations

from datetime import timedelta

from scheduler_scene import Scene, fault, states

from taskgrid.model import Backoff, Cause, parse_failure
from taskgrid.scheduler import workers
from taskgrid.scheduler.state import Job


def _fail(scene: Scene, name: str, cause: Cause, kind: str = "builtins.ValueError") -> None:
    worker = scene.worker(name)
    (grant,) = scene.lease(worker)
    scene.report(worker, grant, {grant.runs[0][0]: fault(cause, kind)})


def test_an_error_is_final_unless_attempts_were_asked_for() -> None:
    """The default is one attempt."""
    scene = Scene()
    job = scene.job(1)
    _fail(scene, "a", Cause.ERROR)
    assert states(job) == ["failed"]


def test_backoff_doubles_and_attempts_end() -> None:
    """Errors wait 1, 2, ... times `first`, and `max_attempts` errors are the end."""
    scene = Scene()
    job = scene.job(1, max_attempts=3, backoff=Backoff(first=timedelta(seconds=10)))
    _fail(scene, "a", Cause.ERROR)
    assert job.trails.due_at(0) == scene.now + 10.0
    scene.tick(9.0)
    assert states(job) == ["delayed"]
    scene.tick(1.0)
    assert states(job) == ["queued"]
    _fail(scene, "b", Cause.ERROR)
    assert job.trails.due_at(0) == scene.now + 20.0
    scene.tick(20.0)
    _fail(scene, "c", Cause.ERROR)
    assert states(job) == ["failed"]
    assert len(job.trails.past(0).history) == 2


def test_crashes_have_a_count_of_their_own() -> None:
    """Three crashes end a task, alone after the first, whatever `max_attempts` says."""
    scene = Scene()
    job = scene.job(1, max_attempts=1)
    for attempt in (1, 2):
        _fail(scene, "a", Cause.CRASH)
        assert states(job) == ["queued"], attempt
        assert job.trails.past(0).alone
    _fail(scene, "a", Cause.MEMORY)
    assert states(job) == ["failed"]


def test_a_time_limit_is_final() -> None:
    """The same arguments would take as long again."""
    scene = Scene()
    job = scene.job(1, max_attempts=5)
    _fail(scene, "a", Cause.TIME_LIMIT)
    assert states(job) == ["failed"]


def test_a_missing_file_is_tried_once_on_another_host_at_no_cost() -> None:
    """Another host may have it; a second miss counts."""
    scene = Scene()
    job = scene.job(1)
    here, there = scene.worker("here"), scene.worker("there")
    (grant,) = scene.lease(here)
    scene.report(here, grant, {0: fault(Cause.ERROR, "builtins.FileNotFoundError")})
    assert states(job) == ["queued"]
    assert list(job.elsewhere["here"]) == [(0, 1)]
    assert scene.lease(here) == [], "the same host would miss it again"
    (again,) = scene.lease(there)
    scene.report(there, again, {0: fault(Cause.ERROR, "builtins.FileNotFoundError")})
    assert states(job) == ["failed"]


def test_a_missing_file_is_final_where_there_is_no_other_host() -> None:
    """One machine alone has nobody to ask."""
    scene = Scene()
    job = scene.job(1)
    _fail(scene, "a", Cause.ERROR, "builtins.FileNotFoundError")
    assert states(job) == ["failed"]


def test_a_task_for_another_host_goes_home_when_that_host_is_gone() -> None:
    """It waits for nobody who won't come."""
    scene = Scene()
    job = scene.job(1)
    here, there = scene.worker("here"), scene.worker("there")
    (grant,) = scene.lease(here)
    scene.report(here, grant, {0: fault(Cause.ERROR, "builtins.ImportError")})
    workers.leave(scene.core, there)
    assert len(scene.lease(here)) == 1
    assert job.elsewhere == {}


def _lose(scene: Scene, job: Job, name: str) -> int:
    worker = scene.worker(name)
    (grant,) = scene.lease(worker)
    workers.disconnected(scene.core, worker, scene.now)
    scene.tick(scene.limits.reconnect_grace + 0.1)
    assert not job.leases
    return grant.lease.granted


def test_tasks_of_a_lost_worker_are_suspects_and_only_one_alone_is_charged() -> None:
    """Of a bundle nobody knows which did it: no one is charged, and all are leased one by one, at last in isolation."""
    scene = Scene()
    job = scene.job(8)
    job.durations.add([(0, 100)])
    job.largest_done = 100
    assert _lose(scene, job, "w") == 4
    assert [job.trails.past(index).lost for index in range(4)] == [0] * 4
    assert job.singles.runs() == ((0, 4),)
    assert _lose(scene, job, "x") == 1
    assert [job.trails.past(index).lost for index in range(4)] == [0] * 4
    assert (job.isolated.runs(), job.singles.runs()) == (((0, 1),), ((1, 4),))
    assert _lose(scene, job, "y") == 1
    assert [job.trails.past(index).lost for index in range(4)] == [1, 0, 0, 0]


def test_a_task_that_lost_five_workers_alone_is_buried() -> None:
    """The master ends it itself, with the cause, as an outcome like any other; the first two losses tell nothing."""
    scene = Scene()
    job = scene.job(1)
    for attempt in range(2 + scene.limits.lost_workers - 1):
        _lose(scene, job, f"w{attempt}")
        assert states(job) == ["queued"]
    worker = scene.worker("last")
    scene.lease(worker)
    workers.disconnected(scene.core, worker, scene.now)
    (change,) = scene.tick(2.0).changes
    assert states(job) == ["failed"]
    (row,) = change.rows
    assert (row.sequence, row.first, row.count) == (1, 0, 1)
    assert parse_failure(row.lines or b"").cause is Cause.LOST_WORKER
    scene.restart()
    assert states(scene.again(job)) == ["failed"]


def test_what_is_given_back_costs_nothing() -> None:
    """Released tasks wait again as if they had never been out."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(2)
    (grant,) = scene.lease(worker)
    workers.release(scene.core, worker, [workers.Held(grant.lease.token, job.number, ((0, 1),))])
    assert (states(job), len(job.trails), job.again.runs()) == (["queued"] * 2, 0, ((0, 1),))
    (again,) = scene.lease(worker)
    assert (again.runs, again.attempts, again.alone) == (((0, 1),), (), False)


def test_a_clock_that_jumped_extends_what_nobody_could_beat_for() -> None:
    """A suspended machine wakes with its leases as they were."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(1, seal=False)
    scene.lease(worker)
    scene.core.ticked_at = scene.now
    scene.now += 10_000.0
    workers.tick(scene.core, scene.now)
    assert states(job) == ["leased"]
    assert not job.sealed, "its client could not beat either"
    assert scene.core.workers[worker].lost_at is None
    scene.tick(scene.limits.lease + 1.0)
    assert states(job) == ["queued"], "from then on time counts again"
