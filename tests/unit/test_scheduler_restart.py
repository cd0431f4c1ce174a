"""After a restart: who may still hold what, how long that is waited for, and what is charged."""

from __future__ import annotations

from datetime import timedelta

from journal_scene import OF_BEFORE_COLUMNS
from scheduler_scene import Scene, fault, states

from taskgrid.model import Backoff, TaskOptions, Token, Verdict
from taskgrid.scheduler import checkpoint, submit, workers
from taskgrid.scheduler.lease import Grant
from taskgrid.scheduler.trails import Past, rank


def test_tasks_above_the_mark_go_out_at_once_and_those_below_wait() -> None:
    """What was never leased needs no caution; what may be out waits until its holder had time to come back."""
    scene = Scene()
    job = scene.job(500)
    mark = job.mark
    assert 0 < mark < 500
    scene.restart()
    job = scene.again(job)
    worker = scene.worker("a")
    (fresh,) = scene.lease(worker)
    assert fresh.runs == ((mark, mark + 1),)
    assert list(job.doubt) == [(0, mark)]
    scene.tick(scene.limits.reconnect - 1.0)
    assert job.doubt
    assert scene.tick(2.0).freed
    assert not job.doubt
    assert (0, mark) in job.again.runs()


def test_a_task_that_must_not_run_twice_at_a_time_waits_out_its_lease() -> None:
    """Its holder may be running it, out of touch, until its own margin."""
    scene = Scene()
    job = scene.job(500, alone=True)
    scene.restart()
    job = scene.again(job)
    scene.tick(scene.limits.lease - 1.0)
    assert job.doubt
    scene.tick(2.0)
    assert not job.doubt


def test_a_task_that_only_its_function_calls_alone_waits_out_its_lease_as_well() -> None:
    """The journal has it before the first worker that says so has a task, once; another's tasks are alone then, too."""
    scene = Scene()
    job = scene.job(500)
    scene.lease(scene.worker("silent"))
    assert not job.alone
    worker = scene.worker("a")
    scene.core.workers[worker].declared = {"m:f": TaskOptions(alone=True)}
    assert [grant.options.alone for grant in scene.lease(worker, 3)] == [True, True, True]
    assert [record.kind for record in scene.records[job.number]].count("declared") == 1
    assert [grant.options.alone for grant in scene.lease(scene.worker("silent"))] == [True]
    for kept in (None, checkpoint.dump(job)):
        scene.restart(kept)
        job = scene.again(job)
        scene.tick(scene.limits.lease - 1.0)
        assert job.doubt
        scene.tick(2.0)
        assert not job.doubt


def test_a_holder_of_before_the_restart_takes_its_lease_up_again() -> None:
    """It names its lease, goes on, and its outcomes are taken under the token of before."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(10)
    (before,) = scene.lease(worker)
    scene.restart()
    job = scene.again(job)
    worker = scene.worker("a")
    assert scene.beat(worker, before, runs=((0, 1),)) == []
    assert states(job)[0] == "leased"
    assert 0 not in job.doubt
    assert scene.report(worker, before, runs=((0, 1),)) == {0: Verdict.TAKEN}
    (taken,) = scene.beat(worker, before, runs=((0, 1),)) or []
    assert taken.runs == [(0, 1)]


def test_a_first_lease_that_the_journal_lost_is_refused_once_its_task_goes_out_anew() -> None:
    """The end of the journal is gone, the mark with it; what was given since is taken, also by later starts."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(40)
    kept = len(scene.records[job.number])
    lost = [scene.lease(worker)[0] for _ in range(20)]
    assert lost[19].runs == ((19, 20),)
    del scene.records[job.number][kept:]
    scene.restart()
    assert scene.again(job).mark == 16
    worker = scene.worker("a")
    given = [scene.lease(worker)[0] for _ in range(4)]
    assert given[3].runs == lost[19].runs
    for _ in range(2):
        scene.restart()
        worker = scene.worker("a")
        (taken,) = scene.beat(worker, lost[18], runs=((18, 19),)) or []
        assert taken.runs == [(18, 19)]
        assert scene.report(worker, lost[19], runs=((19, 20),)) == {19: Verdict.STALE}
        assert scene.beat(worker, given[2], runs=((18, 19),)) == []
    assert scene.report(worker, given[3], runs=((19, 20),)) == {19: Verdict.TAKEN}
    assert scene.report(worker, lost[15], runs=((15, 16),)) == {15: Verdict.TAKEN}


def test_first_leases_of_each_start_are_taken_by_all_later_ones() -> None:
    """Stopped in order or killed, from records or from a checkpoint: who holds a first lease still has it."""
    scene = Scene()
    job = scene.job(60)
    given: list[Grant] = []
    for stopped in (True, False, True):
        worker = scene.worker("a")
        given += [scene.lease(worker)[0] for _ in range(3)]
        if stopped:
            scene.keep(submit.lowered_mark(scene.core, scene.again(job)))
        scene.restart()
    assert [grant.runs[0][0] for grant in given] == [0, 1, 2, 3, 4, 5, 20, 21, 22]
    assert [*scene.again(job).marks] == [(0, 1), (3, 2), (20, 3)]
    stored = checkpoint.load(checkpoint.dump(scene.again(job)))
    assert [*stored.marks] == [*scene.again(job).marks]
    worker = scene.worker("a")
    for grant in given:
        assert scene.report(worker, grant, runs=grant.runs) == {grant.runs[0][0]: Verdict.TAKEN}


def test_a_token_of_another_history_is_refused() -> None:
    """A journal restored from a backup has the same epoch numbers, and not the same salts."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(10)
    (before,) = scene.lease(worker)
    scene.restart()
    worker = scene.worker("a")
    before.lease.token = before.lease.token._replace(salt="of another history")
    assert scene.report(worker, before, runs=((0, 1),)) == {0: Verdict.STALE}
    (taken,) = scene.beat(worker, before, runs=((0, 1),)) or []
    assert taken.runs == [(0, 1)]
    assert states(scene.again(job))[0] == "queued"


def test_a_task_that_was_delayed_once_is_not_lost_by_a_restart() -> None:
    """Cancelled in its backoff, retried, leased: the backoff of before does not hide that it may be held."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(1, max_attempts=3, backoff=Backoff(first=timedelta(seconds=100)))
    (first,) = scene.lease(worker)
    scene.report(worker, first, {0: fault()})
    scene.cancel(job, (0, 1))
    scene.retry(job, (0, 1))
    scene.lease(worker)
    scene.restart()
    job = scene.again(job)
    assert list(job.doubt) == [(0, 1)]
    scene.tick(200.0)
    assert len(scene.lease(scene.worker("b"))) == 1


def test_a_task_delayed_twice_is_leased_and_restarted_without_loss() -> None:
    """A backoff that ran out in an earlier life leaves no trace that a replay could stumble over."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(1, max_attempts=9, backoff=Backoff(first=timedelta(seconds=1)))
    for _ in range(3):
        (grant,) = scene.lease(worker)
        scene.report(worker, grant, {0: fault()})
        scene.tick(10.0)
    scene.lease(worker)
    scene.restart()  # the records of due tasks are not journaled: replay still has their entries
    assert list(scene.again(job).doubt) == [(0, 1)]


def test_a_checkpoint_in_the_middle_of_a_job_loses_nothing() -> None:
    """What is leased in memory is queued and in doubt after a restart from a checkpoint."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(20, max_attempts=2, backoff=Backoff(first=timedelta(seconds=50)))
    grants = [scene.lease(worker)[0] for _ in range(4)]
    scene.report(worker, grants[0])
    scene.report(worker, grants[1], {1: fault()})
    stored = checkpoint.load(checkpoint.dump(job))
    scene.epoch += 1
    scene.core = scene._core()
    checkpoint.restore(scene.core, stored, scene.now)
    assert states(stored) == ["succeeded", "delayed", *["queued"] * 18]
    assert list(stored.doubt) == [(2, 16)]


def test_a_beat_takes_up_only_what_nobody_got_since() -> None:
    """A lease that expired goes on where its tasks still wait, and not where a later lease raised the floor."""
    scene = Scene()
    late, other = scene.worker("late"), scene.worker("other")
    job = scene.job(2)
    job.durations.add([(0, 100)])
    job.largest_done = 100
    (before,) = scene.lease(late)
    scene.tick(scene.limits.lease + 1.0)
    late, other = scene.worker("late"), scene.worker("other")
    (since,) = scene.lease(other)
    workers.release(scene.core, other, [workers.Held(since.lease.token, job.number, since.runs)])
    assert states(job) == ["queued", "queued"]
    gone = scene.beat(late, before, runs=((0, 2),))
    assert gone is not None
    assert [taken.runs for taken in gone] == [[(0, 1)]], "its floor is the later lease's"
    assert states(job) == ["queued", "leased"]


def test_a_checkpoint_of_before_there_were_columns_is_read() -> None:
    """Journals outlive the version that wrote them."""
    scene = Scene()
    scene.epoch += 1
    scene.core = scene._core()
    job = checkpoint.load(OF_BEFORE_COLUMNS)
    again = checkpoint.load(checkpoint.dump(job))
    for stored in (job, again):
        assert [stored.trails.past(index) for index in range(5)] == [
            Past(),
            Past(attempts=1, errors=1, history=("attempt 1: error: it failed",)),
            Past(attempts=1, crashes=1, alone=True, history=("attempt 1: crash: it",)),
            Past(attempts=1, not_on="a", history=("attempt 1: error: no file",)),
            Past(),
        ]
        assert [stored.trails.due_at(index) for index in range(3)] == [None, 1050.0, None]
        assert [stored.trails.floor(index) for index in range(5)] == [
            0,
            *(rank(Token(1, counter, "salt1")) for counter in (3, 4, 5)),
            0,
        ]
        assert (stored.singles.runs(), stored.elsewhere["a"].runs()) == (((2, 3),), ((3, 4),))
    checkpoint.restore(scene.core, again, scene.now)
    assert list(again.doubt) == [(4, 30)]
    scene.tick(50.0)
    assert states(again)[1] == "queued"
