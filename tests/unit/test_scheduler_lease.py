"""Lease: who is served first, how large a bundle grows, and what a suspected worker gets."""

from __future__ import annotations

from scheduler_scene import Scene, fault

from taskgrid.model import Cause, Verdict
from taskgrid.scheduler import lease, workers
from taskgrid.scheduler.limits import Limits


def test_higher_priority_goes_first() -> None:
    """However much its owner has used."""
    scene = Scene()
    worker = scene.worker("a")
    scene.job(5, owner="idle")
    urgent = scene.job(2, owner="busy", priority=1)
    scene.core.owners["busy"].usage = 1e6
    assert [grant.job for grant in scene.lease(worker, 2)] == [urgent, urgent]


def test_equals_share_by_the_slot_time_of_their_owners() -> None:
    """Who used less is served, until both used the same."""
    scene = Scene()
    worker = scene.worker("a")
    many = [scene.job(5, owner="many") for _ in range(5)]
    one = scene.job(5, owner="one")
    (first,) = scene.lease(worker)
    assert first.job is many[0]
    scene.report(worker, first, seconds=3.0)
    served = []
    for _ in range(2):
        (grant,) = scene.lease(worker)
        served.append(grant.job)
        scene.report(worker, grant, seconds=2.0)
    assert served == [one, one]
    (last,) = scene.lease(worker)
    assert last.job is many[1], "among one owner's jobs the one that used less goes first"


def test_bundles_grow_fourfold_and_stop_at_their_time() -> None:
    """A job starts with single tasks, and ends near 75 ms of work a bundle."""
    scene = Scene()
    worker = scene.worker("a")
    scene.job(100_000)
    sizes = []
    for _ in range(7):
        (grant,) = scene.lease(worker)
        sizes.append(grant.lease.granted)
        scene.report(worker, grant, bucket=6)  # 64 to 128 microseconds
    assert sizes[:5] == [1, 4, 16, 64, 256]
    assert sizes[5:] == [781, 781]


def test_failed_attempts_do_not_make_bundles_grow() -> None:
    """A job whose tasks all fail in no time stays at single tasks: nothing is known of its work."""
    scene = Scene()
    worker = scene.worker("a")
    scene.job(1000)
    for index in range(3):
        (grant,) = scene.lease(worker)
        assert grant.runs == ((index, index + 1),)
        scene.report(worker, grant, {index: fault()})


def test_no_bundle_is_more_than_a_fair_share_of_what_is_left() -> None:
    """Four slots split the tail finer and finer, so that none is left alone with much of it."""
    scene = Scene()
    worker = scene.worker("a", slots=2)
    scene.worker("b", slots=2)
    job = scene.job(100)
    job.durations.add([(0, 100)])
    job.largest_done = 1000
    sizes = [scene.lease(worker)[0].lease.granted for _ in range(4)]
    assert sizes == [13, 11, 10, 9]
    workers.leave(scene.core, workers.WorkerId("b"))
    assert scene.lease(worker)[0].lease.granted >= 15, "half of the slots left: shares are larger"


def test_a_fair_share_is_not_cut_below_what_is_worth_a_message() -> None:
    """Four slots and few tiny tasks: one message for all of them is quicker than a fair one for each slot."""
    scene = Scene(Limits(least_seconds=0.002))
    worker = scene.worker("a", slots=4)
    job = scene.job(100)
    job.durations.add([(3, 100)])  # 12 microseconds each
    job.largest_done = 1000
    assert scene.lease(worker)[0].lease.granted == 100
    slow = scene.job(100)
    slow.durations.add([(10, 100)])  # 1.5 milliseconds each
    slow.largest_done = 1000
    assert scene.lease(worker)[0].lease.granted == 13


def test_large_payloads_make_small_bundles() -> None:
    """A bundle is cut at about its bytes, whatever its time."""
    scene = Scene(Limits(bundle_bytes=40))
    worker = scene.worker("a")
    job = scene.job(1000)  # four bytes a task
    job.durations.add([(0, 100)])
    job.largest_done = 1000
    assert scene.lease(worker)[0].lease.granted == 10


def test_the_same_nonce_is_answered_with_the_same_leases() -> None:
    """A request that was said again, since its answer was lost, takes nothing more."""
    scene = Scene()
    worker = scene.worker("a")
    scene.job(10)
    first = lease.lease(scene.core, worker, "n1", 2, scene.now)
    again = lease.lease(scene.core, worker, "n1", 2, scene.now)
    assert [grant.lease.token for grant in again.grants] == [grant.lease.token for grant in first.grants]
    scene.worker("a")  # its code changed, or it drains
    enlisted = lease.lease(scene.core, worker, "n1", 2, scene.now)
    assert [grant.lease.token for grant in enlisted.grants] == [grant.lease.token for grant in first.grants]
    other = lease.lease(scene.core, worker, "n2", 2, scene.now)
    assert not {grant.lease.token for grant in other.grants} & {grant.lease.token for grant in first.grants}


def test_what_was_granted_does_not_change_under_its_answer() -> None:
    """A cancel between the decision and the answer must not leave a bundle without tasks."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(1)
    (grant,) = scene.lease(worker)
    scene.cancel(job, (0, 1))
    assert grant.runs == ((0, 1),)


def test_cancelled_tasks_are_stepped_over() -> None:
    """Fresh tasks go out from the first that waits."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(10)
    job.durations.add([(0, 100)])
    job.largest_done = 1000
    scene.cancel(job, (0, 3), (5, 7))
    assert [grant.runs for grant in scene.lease(worker, 2)] == [((3, 5),), ((7, 9),)]


def test_a_worker_on_which_all_fails_gets_one_task_at_a_time() -> None:
    """Twenty failures in a row, while others succeed: it is named, and can't burn the job down."""
    scene = Scene()
    bad, good = scene.worker("bad"), scene.worker("good")
    job = scene.job(1000)
    for _ in range(20):
        (grant,) = scene.lease(bad)
        assert scene.report(bad, grant, {grant.runs[0][0]: fault()}) == {grant.runs[0][0]: Verdict.TAKEN}
    assert len(scene.lease(bad, 2)) == 2, "nobody has succeeded: the fault may be the job's"
    scene.report(good, scene.lease(good)[0])
    for held in list(scene.core.workers[bad].leases.values()):
        workers.release(scene.core, bad, [workers.Held(held.token, job.number, held.runs.runs())])
    job.durations.add([(0, 100)])
    job.largest_done = 100
    grants = scene.lease(bad, 4)
    assert [grant.lease.granted for grant in grants] == [1]
    scene.report(bad, grants[0])
    assert len(scene.lease(bad, 4)) == 4, "one success clears it"


def test_what_is_known_of_a_workers_failures_ends_with_the_job() -> None:
    """Neither workers nor jobs collect names for as long as the master lives."""
    scene = Scene()
    bad = scene.worker("bad")
    for cancelled in (True, False):
        job = scene.job(2)
        for left in (True, False):
            (grant,) = scene.lease(bad)
            scene.report(bad, grant, {grant.runs[0][0]: fault()})
            assert bool(scene.core.workers[bad].streaks) == left
            if cancelled:
                scene.cancel(job)
                break
        assert job.ended
        assert scene.core.workers[bad].streaks == {}


def test_two_workers_on_which_a_job_succeeds_are_enough_to_remember() -> None:
    """Workers come and go while a job stays open."""
    scene = Scene()
    job = scene.job(40, seal=False)
    for number in range(30):
        worker = scene.worker(f"w{number}")
        for grant in scene.lease(worker):
            scene.report(worker, grant)
        workers.leave(scene.core, worker)
    assert len(job.succeeded_on) == 2


def test_a_worker_that_is_unknown_or_lost_is_told_so() -> None:
    """It enlists and names what it holds before it gets more."""
    scene = Scene()
    worker = scene.worker("a")
    scene.job(5)
    assert not lease.lease(scene.core, workers.WorkerId("nobody"), "n", 1, scene.now).known
    scene.tick(scene.limits.lease + 1.0)
    assert not lease.lease(scene.core, worker, "n", 1, scene.now).known
    assert scene.beat(worker) is None


def test_a_lease_rests_on_its_mark_and_its_record() -> None:
    """Nothing leaves before the journal knows that it may be out."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(1)
    scene.lease(worker)
    scene.tick(scene.limits.lease + 1.0)
    answer = lease.lease(scene.core, scene.worker("b"), "n", 1, scene.now)
    assert answer.rests_on == {job: job.next_record - 1}
    assert job.committed_record < answer.rests_on[job]


def test_only_committed_chunks_are_leased() -> None:
    """A chunk whose commit is under way waits for it."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(1, seal=False)
    scene.lease(worker)
    keep, scene.keep = scene.keep, lambda *_: None  # type: ignore[method-assign]  # the journal is slow
    done = scene.chunk(job.id, 1, 5)
    assert lease.lease(scene.core, worker, "n", 1, scene.now).grants == []
    keep(done.change)
    scene.keep = keep  # type: ignore[method-assign]  # and has caught up
    assert len(scene.lease(worker)) == 1


def test_causes_are_told_apart() -> None:
    """A crash makes its task wait alone; its neighbours lose nothing."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(5)
    job.durations.add([(0, 100)])
    job.largest_done = 100
    (grant,) = scene.lease(worker)
    count = grant.lease.granted
    assert count > 1
    scene.report(worker, grant, {0: fault(Cause.CRASH)})
    assert job.singles.runs() == ((0, 1),)
    (again,) = scene.lease(worker)
    assert (again.runs, again.alone, again.attempts) == (((0, 1),), True, ((0, 2),))
