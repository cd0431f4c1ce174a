"""Submit: chunks in order, keys, and jobs whose clients went away."""

from __future__ import annotations

import pytest
from scheduler_scene import Scene, states

from taskgrid.errors import Busy, ChunkRefused
from taskgrid.model import JobId, JobSpec, new_id
from taskgrid.scheduler import submit
from taskgrid.scheduler.limits import Limits
from taskgrid.scheduler.state import Job


def test_a_gap_is_refused_and_a_repeat_adds_nothing() -> None:
    """A chunk is added once, in its order."""
    scene = Scene()
    job = scene.job(2, seal=False)
    with pytest.raises(ChunkRefused):
        scene.chunk(job.id, 2, 1)
    assert scene.chunk(job.id, 0, 2).repeat
    assert job.total == 2
    assert scene.chunk(job.id, 1, 3, seal=True).first == 2
    with pytest.raises(ChunkRefused):
        scene.chunk(job.id, 2, 1)


def test_the_limit_of_tasks_counts_what_has_not_ended() -> None:
    """Room is made by tasks that end and jobs that are forgotten, and by nothing else."""
    scene = Scene(Limits(max_queued=3))
    worker = scene.worker("a")
    job = scene.job(3, seal=False)
    with pytest.raises(Busy):
        scene.chunk(job.id, 1, 1)
    scene.report(worker, scene.lease(worker)[0])
    scene.chunk(job.id, 1, 1)
    scene.restart()
    with pytest.raises(Busy):
        scene.chunk(job.id, 2, 1)
    scene.cancel(scene.again(job))
    assert scene.core.queued == 0
    scene.retry(scene.again(job))
    assert scene.core.queued == 3


def test_an_open_job_whose_client_is_away_is_sealed_and_says_so() -> None:
    """It runs to its end at what was accepted."""
    scene = Scene()
    job = scene.job(2, seal=False)
    grace = job.spec.client_grace.total_seconds()
    scene.tick(grace - 1.0)
    assert submit.keep(scene.core, (job.id,), scene.now) == []
    scene.tick(grace - 1.0)
    assert not job.sealed
    scene.tick(2.0)
    assert (job.sealed, job.abandoned) == (True, True)
    assert submit.keep(scene.core, (job.id,), scene.now) == [job.id]
    with pytest.raises(ChunkRefused) as refused:
        scene.chunk(job.id, 1, 1)
    assert "away" in refused.value.why


def _abandoned(scene: Scene, key: str) -> Job:
    job = scene.job(2, seal=False, key=key)
    scene.tick(job.spec.client_grace.total_seconds() + 1.0)
    assert job.abandoned
    return job


def test_an_abandoned_job_is_reopened_by_its_key() -> None:
    """The same submission goes on where it ended, even if all that was accepted has ended."""
    scene = Scene()
    job = _abandoned(scene, "nightly")
    worker = scene.worker("a")
    for _ in range(2):
        scene.report(worker, scene.lease(worker)[0])
    assert job.ended
    identity = JobId(new_id())
    spec = JobSpec(id=identity, function="m:f", key="nightly")
    assert scene.chunk(identity, 0, 2, spec=spec).job is job
    assert scene.chunk(job.id, 0, 2).repeat
    done = scene.chunk(job.id, 1, 1, seal=True)
    assert (done.first, job.abandoned, job.sealed, job.ended) == (2, False, True, False)
    assert job.number in scene.core.active
    assert len(scene.lease(worker)) == 1
    scene.restart()
    assert states(scene.again(job)) == ["succeeded", "succeeded", "queued"]
    assert scene.core.by_key["nightly"] is scene.again(job)


def test_a_client_has_its_whole_grace_after_a_restart() -> None:
    """While the master was away nobody could beat."""
    scene = Scene()
    job = scene.job(1, seal=False)
    scene.now += 1e6
    scene.restart()
    scene.tick(job.spec.client_grace.total_seconds() - 1.0)
    assert not scene.again(job).sealed
