"""Merged values: a report's whole runs are taken whole, or not at all."""

from __future__ import annotations

import pytest
from scheduler_scene import Scene, states

from taskgrid.errors import ChunkRefused
from taskgrid.model import JobId, JobSpec, Reduce, Run, Verdict, WorkerId, new_id
from taskgrid.scheduler import report, workers
from taskgrid.scheduler.lease import Grant
from taskgrid.scheduler.limits import Limits
from taskgrid.scheduler.state import Job

ROOMY = Limits(least_seconds=1.0)
TAKEN, BROKEN, CANCELLED, STALE = Verdict.TAKEN, Verdict.BROKEN, Verdict.CANCELLED, Verdict.STALE


def merged_report(scene: Scene, worker: WorkerId, grant: Grant, runs: list[Run], whole: list[Run]) -> list[object]:
    """Report runs of which some are to be taken whole; return the verdicts by task."""
    outcomes = report.Outcomes(grant.lease.token, 1, grant.job.number, runs, {}, whole=whole)
    done = report.report(scene.core, worker, outcomes, scene.now)
    scene.keep(done.change)
    by_task = {index: verdict for run, verdict in done.verdicts for index in range(*run)}
    return [by_task[index] for run in runs for index in range(*run)]


def _grown(scene: Scene, worker: WorkerId, job: Job) -> list[Grant]:
    """Lease as much as there may be of a job of short tasks that has run for a while."""
    job.durations.add([(0, 1000)])
    job.largest_done = 1000
    return scene.lease(worker)


def leased(scene: Scene, tasks: int) -> tuple[WorkerId, Job, Grant]:
    """Return a worker that holds all tasks of a job in one lease."""
    worker = scene.worker("a")
    job = scene.job(tasks)
    (grant,) = _grown(scene, worker, job)
    assert grant.lease.runs.runs() == ((0, tasks),)
    return worker, job, grant


def test_a_merged_value_is_taken_for_all_its_tasks() -> None:
    """As if each had reported."""
    scene = Scene(ROOMY)
    worker, job, grant = leased(scene, 10)
    assert merged_report(scene, worker, grant, [(0, 10)], [(0, 4), (4, 8)]) == [TAKEN] * 10
    assert job.counts[3] == 10


def test_a_merged_value_of_which_a_task_was_cancelled_is_taken_for_none() -> None:
    """The others of its block stay its worker's, which gives them back at no cost; what lies outside of it is taken."""
    scene = Scene(ROOMY)
    worker, job, grant = leased(scene, 10)
    scene.cancel(job, (2, 3))
    verdicts = merged_report(scene, worker, grant, [(0, 10)], [(0, 4), (4, 8)])
    assert verdicts == [BROKEN, BROKEN, CANCELLED, BROKEN, *[TAKEN] * 6]
    assert states(job)[:4] == ["leased", "leased", "cancelled", "leased"]
    workers.release(scene.core, worker, [workers.Held(grant.lease.token, job.number, [(0, 2), (3, 4)])])
    assert not job.leases
    (again,) = scene.lease(worker)
    assert again.runs == ((0, 2), (3, 4))
    assert not again.attempts, "given back, it is the first attempt still"


def test_a_merged_value_whose_tasks_are_its_workers_only_in_part_is_taken_for_none() -> None:
    """All of them could be taken, but not in one row: half of a merged value would stand there without the other."""
    scene = Scene(ROOMY)
    worker, job, grant = leased(scene, 4)
    scene.tick(31)
    scene.worker("a")
    scene.beat(worker, grant, runs=((0, 2),))
    assert states(job) == ["leased", "leased", "queued", "queued"]
    assert merged_report(scene, worker, grant, [(0, 4)], [(0, 4)]) == [BROKEN] * 4


def test_a_merged_value_that_another_has_begun_again_is_taken_for_none() -> None:
    """Its tasks went to others one by one after its lease had ended: a part of them is no merge."""
    scene = Scene(ROOMY)
    worker, job, grant = leased(scene, 4)
    scene.tick(31)
    other = scene.worker("b")
    (single,) = scene.lease(other)
    assert single.runs == ((0, 1),)
    verdicts = merged_report(scene, worker, grant, [(0, 4)], [(0, 4)])
    assert verdicts == [STALE, BROKEN, BROKEN, BROKEN]
    assert states(job) == ["leased", "queued", "queued", "queued"]
    assert scene.report(other, single) == {0: TAKEN}


def test_a_late_merged_value_that_nobody_began_again_is_taken() -> None:
    """As a single one is: nothing runs twice that need not."""
    scene = Scene(ROOMY)
    worker, job, grant = leased(scene, 4)
    scene.restart()
    scene.worker("a")
    assert merged_report(scene, worker, replace_job(grant, scene.again(job)), [(0, 4)], [(0, 4)]) == [TAKEN] * 4


def test_a_merged_report_repeated_is_yours() -> None:
    """Nothing of it is broken: its tasks have ended, and the journal says under which token."""
    scene = Scene(ROOMY)
    worker, job, grant = leased(scene, 4)
    merged_report(scene, worker, grant, [(0, 4)], [(0, 4)])
    assert merged_report(scene, worker, grant, [(0, 4)], [(0, 4)]) == [None] * 4
    assert job.counts[3] == 4


@pytest.mark.parametrize(
    ("size", "runs"),
    [(200, [(0, 192), (192, 256), (256, 300)]), (70, [(0, 64), (64, 128), (128, 130)]), (50, [(0, 50), (50, 100)])],
)
def test_bundles_of_a_job_that_merges_end_where_blocks_do(size: int, runs: list[Run]) -> None:
    """If they have room for one; smaller ones are as large as ever."""
    scene = Scene(Limits(least_seconds=1.0, max_bundle=size))
    worker = scene.worker("a")
    identity = JobId(new_id())
    spec = JobSpec(id=identity, function="m:f", reduce=Reduce(how="merge"))
    job = scene.chunk(identity, 0, runs[-1][1], seal=True, spec=spec).job
    got: list[Run] = []
    while grants := _grown(scene, worker, job):
        got += grants[0].runs
        scene.report(worker, grants[0])
    assert got == runs


def test_a_key_names_a_job_only_if_it_merges_alike() -> None:
    """Who reads it would put together otherwise what workers have merged."""
    scene = Scene()
    for known, asked in ((None, "merge"), ("merge", None), ("merge", "m:total"), ("m:total", "merge")):
        for number, how in enumerate((known, asked)):
            identity = JobId(new_id())
            reduce = Reduce(how=how) if how else None
            spec = JobSpec(id=identity, function="m:f", reduce=reduce, key=f"{known} then {asked}")
            if number:
                with pytest.raises(ChunkRefused, match="merges its values otherwise"):
                    scene.chunk(identity, 0, 1, spec=spec)
            else:
                job = scene.chunk(identity, 0, 1, spec=spec).job
        same = scene.chunk(JobId(new_id()), 0, 1, spec=job.spec.model_copy(update={"id": JobId(new_id())}))
        assert same.job is job


def replace_job(grant: Grant, job: Job) -> Grant:
    """Return a grant of before a restart as its worker still names it."""
    return grant._replace(job=job)
