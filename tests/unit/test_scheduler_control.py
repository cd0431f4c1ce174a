"""Cancel and retry: what is touched, once each, and what a worker that held it is told."""

from __future__ import annotations

from datetime import timedelta

from scheduler_scene import Scene, fault, states

from taskgrid.model import Backoff, Verdict

_SLOW = Backoff(first=timedelta(seconds=100))


def test_runs_that_overlap_cancel_each_task_once() -> None:
    """`cancel 17.0-4,17.3-7` is no error, and leaves no hole in the job's records."""
    scene = Scene()
    job = scene.job(10)
    scene.cancel(job, (0, 5), (3, 8))
    assert states(job) == ["cancelled"] * 8 + ["queued"] * 2
    scene.retry(job, (2, 6), (0, 4))
    assert states(job) == ["queued"] * 6 + ["cancelled"] * 2 + ["queued"] * 2
    scene.restart()
    assert states(scene.again(job)) == states(job)


def test_a_cancelled_task_that_is_leased_is_told_at_the_next_beat() -> None:
    """The cancel holds at once; the worker hears which runs, and its report changes nothing."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(1)
    (grant,) = scene.lease(worker)
    assert scene.beat(worker, grant) == []
    scene.cancel(job, (0, 1))
    assert states(job) == ["cancelled"]
    (taken,) = scene.beat(worker, grant, runs=((0, 1),)) or []
    assert (taken.token, taken.runs, taken.cancelled) == (grant.lease.token, [(0, 1)], True)
    assert scene.report(worker, grant, runs=((0, 1),)) == {0: Verdict.CANCELLED}
    assert states(job) == ["cancelled"]


def test_cancelling_a_job_seals_it() -> None:
    """A job that was cancelled whole is complete, though its client never sealed it."""
    scene = Scene()
    job = scene.job(3, seal=False)
    scene.cancel(job)
    assert job.ended
    assert scene.core.active == {}


def test_what_no_worker_holds_can_be_cancelled_alone() -> None:
    """`only_queued` takes waiting and delayed tasks, and spares leased ones."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(3, seal=True, max_attempts=3, backoff=_SLOW)
    (first,) = scene.lease(worker)
    scene.report(worker, first, {0: fault()})
    scene.lease(worker)
    assert states(job) == ["delayed", "leased", "queued"]
    scene.cancel(job, (0, 3), only_queued=True)
    assert states(job) == ["cancelled", "leased", "cancelled"]


def test_what_may_be_held_since_before_a_restart_is_not_cancelled_as_waiting() -> None:
    """A task in doubt may be running: `Future.cancel` must not say that it never began."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(100)
    scene.lease(worker)
    scene.restart()
    job = scene.again(job)
    scene.cancel(job, (0, 100), only_queued=True)
    assert states(job)[: job.mark] == ["queued"] * job.mark
    assert states(job)[job.mark :] == ["cancelled"] * (100 - job.mark)


def test_a_retry_refuses_every_report_of_before() -> None:
    """A task that came back after a cancel belongs to its next lease, not to the one that was cancelled."""
    scene = Scene()
    worker, other = scene.worker("a"), scene.worker("b")
    job = scene.job(1)
    (before,) = scene.lease(worker)
    scene.cancel(job, (0, 1))
    scene.retry(job, (0, 1))
    assert scene.report(worker, before, runs=((0, 1),)) == {0: Verdict.STALE}
    (taken,) = scene.beat(worker, before, runs=((0, 1),)) or []
    assert not taken.cancelled
    (after,) = scene.lease(other)
    assert scene.report(worker, before, runs=((0, 1),)) == {0: Verdict.STALE}
    assert scene.report(other, after) == {0: Verdict.TAKEN}


def test_a_retry_forgets_the_backoff_of_before() -> None:
    """A backoff that was cancelled does not cut the next one short."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(1, max_attempts=3, backoff=_SLOW)
    (first,) = scene.lease(worker)
    scene.report(worker, first, {0: fault()})
    scene.cancel(job, (0, 1))
    scene.retry(job, (0, 1))
    scene.now += 50.0
    (second,) = scene.lease(worker)
    scene.report(worker, second, {0: fault()})
    assert states(job) == ["delayed"]
    scene.core.workers[worker].seen_at = scene.now + 60.0
    scene.tick(60.0)
    assert states(job) == ["delayed"], "it was due at 150, not at 100"
    scene.tick(50.0)
    assert states(job) == ["queued"]
