"""A worker that is out of touch but lives, and a journal that lost its last moments."""

from __future__ import annotations

from datetime import timedelta

from scheduler_scene import Scene, fault, states

from taskgrid.model import Backoff, Verdict, WorkerId
from taskgrid.scheduler import workers
from taskgrid.scheduler.view import job_view


def _lose_sight_of(scene: Scene, worker: WorkerId) -> None:
    workers.disconnected(scene.core, worker, scene.now)
    scene.tick(scene.limits.reconnect_grace + 0.1)
    assert worker not in {each.id for each in scene.core.connected()}


def test_a_task_that_runs_alone_stays_with_a_worker_out_of_touch_until_its_lease_ends() -> None:
    """The worker runs it until its own margin: whoever got it at the grace's end would run it at the same time."""
    scene = Scene()
    job = scene.job(1, alone=True)
    first, second = scene.worker("first"), scene.worker("second")
    scene.lease(first)
    _lose_sight_of(scene, first)
    assert scene.lease(second) == []
    workers.extend(scene.core, second, (), scene.now)
    scene.tick(scene.limits.lease)
    third = scene.worker("third")
    assert [grant.job for grant in scene.lease(third)] == [job]


def test_any_other_task_of_a_worker_out_of_touch_runs_elsewhere_at_once() -> None:
    """It may run twice, and only one outcome counts: nobody waits for a lease."""
    scene = Scene()
    scene.job(1)
    first, second = scene.worker("first"), scene.worker("second")
    scene.lease(first)
    _lose_sight_of(scene, first)
    assert len(scene.lease(second)) == 1


def test_a_superseded_report_is_counted_in_the_jobs_view() -> None:
    """Who was out of touch for too long reports what somebody else has by now: refused, and seen by people."""
    scene = Scene()
    late = scene.worker("late")
    job = scene.job(1)
    (before,) = scene.lease(late)
    scene.tick(scene.limits.lease + 1.0)
    (after,) = scene.lease(scene.worker("other"))
    assert job_view(job).refused_reports == 0
    assert scene.report(scene.worker("late"), before) == {0: Verdict.STALE}
    assert job_view(job).refused_reports == 1
    assert scene.report(WorkerId("other"), after) == {0: Verdict.TAKEN}
    assert job_view(job).refused_reports == 1


def test_an_outcome_is_replayed_although_the_lease_after_its_backoff_was_lost() -> None:
    """Power may take the record of a lease from an unsynced disk; what its worker reports then is taken, and stays."""
    scene = Scene()
    backoff = Backoff(first=timedelta(seconds=1))
    job = scene.job(3, max_attempts=3, backoff=backoff)
    worker = scene.worker("w")
    for index, grant in enumerate(scene.lease(worker, 3)):
        scene.report(worker, grant, {index: fault()})
    scene.tick(2.0)
    again = [grant for _ in range(3) for grant in scene.lease(worker)]
    scene.records[job.number] = [record for record in scene.records[job.number] if record.kind != "leased"]
    scene.restart()
    scene.worker("w")
    scene.tick(2.0)
    for grant, faults in zip(again, ({}, {1: fault()}, {2: fault(kind="builtins.OSError")}), strict=True):
        assert set(scene.report(worker, grant, faults, runs=grant.runs).values()) == {Verdict.TAKEN}
    scene.restart()
    assert states(scene.again(job)) == ["succeeded", "delayed", "delayed"]


def test_a_task_brought_back_beyond_the_mark_is_in_doubt_once_it_was_leased() -> None:
    """The cursor passes cancelled tasks without a mark; their later lease is a record, and says as much."""
    scene = Scene()
    job = scene.job(40)
    first = scene.worker("first")
    scene.cancel(job, (1, 40))
    scene.lease(first, 2)
    assert job.mark < 40
    scene.retry(job, (39, 40))
    assert [grant.runs for grant in scene.lease(first)] == [((39, 40),)]
    scene.restart()
    assert scene.lease(scene.worker("second"), 2) == []


def test_a_token_of_before_a_job_says_nothing_of_it() -> None:
    """A journal put back to before a job gives its number to another: who held the first one's task reports for it."""
    scene = Scene()
    lost = scene.job(1)
    worker = scene.worker("w")
    (grant,) = scene.lease(worker)
    scene.records.clear()
    scene.restart()
    other = scene.job(1)
    assert other.number == lost.number
    second = scene.worker("second")
    (theirs,) = scene.lease(second)
    held = workers.Held(theirs.lease.token, other.number, theirs.runs)
    workers.release(scene.core, second, [held])
    worker = scene.worker("w")
    assert [taken.runs for taken in scene.beat(worker, grant, runs=grant.runs) or []] == [[(0, 1)]]
    assert scene.report(worker, grant, runs=grant.runs) == {0: Verdict.STALE}
    scene.restart()
    assert scene.report(worker, grant, runs=grant.runs) == {0: Verdict.STALE}, "nor after the next start"


def test_a_job_is_shown_as_sealed_when_that_is_committed() -> None:
    """What rests on a record that a crash may take is not shown."""
    from taskgrid.scheduler.submit import Chunk, submit
    from taskgrid.scheduler.view import job_view

    scene = Scene()
    job = scene.job(1, seal=False)
    change = submit(scene.core, Chunk(job.id, 1, 1, 4, seal=True, spec=None), scene.now).change
    assert not job_view(job).sealed
    scene.keep(change)
    assert job_view(job).sealed
