"""Cancel and retry: what is touched, once each, and what a worker that held it is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from scheduler_scene import Scene, fault, states

from taskgrid.model import Backoff, Reason, TaskOptions, Verdict
from taskgrid.scheduler import checkpoint
from taskgrid.scheduler.explain import explain

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


@pytest.mark.parametrize("restarted", ["not", "before the retry", "after the retry", "from a checkpoint"])
def test_a_task_that_runs_alone_is_brought_back_when_the_lease_that_it_was_cancelled_under_is_over(
    restarted: str,
) -> None:
    """Its worker may be out of touch and run it until then, whatever becomes of the master."""
    scene = Scene()
    job = scene.job(2, alone=True)
    (grant,) = scene.lease(scene.worker("a"))
    assert grant.runs == ((0, 1),)
    scene.cancel(job, (0, 1))
    scene.tick(1.0)
    if restarted == "before the retry":
        scene.restart()
    scene.retry(scene.again(job), (0, 1))
    if restarted == "after the retry":
        scene.restart()
    elif restarted == "from a checkpoint":
        scene.restart(checkpoint.dump(job))
    job, last = scene.again(job), scene.limits.lease - (1.0 if restarted == "not" else 0.0)
    second = scene.worker("b")
    assert [grant.runs for grant in scene.lease(second, 2)] == ([((1, 2),)] if restarted == "not" else [])
    assert explain(scene.core, job, 0, scene.now).reason is Reason.IN_DOUBT
    scene.tick(last - 0.5)
    assert scene.lease(second) == []
    scene.beat(second)
    assert scene.tick(1.0).freed
    (again,) = scene.lease(second)
    assert (again.runs, again.attempts) == (((0, 1),), ((0, 2),))


def test_a_task_that_only_waited_or_failed_is_brought_back_at_once() -> None:
    """Nobody can run it; nor does one that may run twice wait."""
    scene = Scene()
    worker = scene.worker("a")
    for alone in (True, False):
        job = scene.job(3, alone=alone)
        (grant,) = scene.lease(worker)
        if alone:
            scene.report(worker, grant, {0: fault()})
        scene.cancel(job)
        scene.retry(job)
        assert [grant.runs[0][0] for grant in scene.lease(worker, 3)] == [0, 1, 2]
        scene.cancel(job)


def test_a_task_is_alone_if_its_workers_function_says_so() -> None:
    """The job need not: who cancels and retries it is spared two attempts at a time all the same."""
    scene = Scene()
    worker = scene.worker("a")
    scene.core.workers[worker].declared = {"m:f": TaskOptions(alone=True)}
    job = scene.job(1)
    scene.lease(worker)
    scene.cancel(job)
    scene.retry(job)
    assert scene.lease(worker) == []
    assert job.held_back.runs() == ((0, 1),)
    scene.restart()
    job = scene.again(job)
    assert job.held_back.runs() == ((0, 1),)
    scene.cancel(job)
    assert not job.held_back


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
