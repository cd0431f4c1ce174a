"""Who is to blame for a lost worker: the one task that it was known to run, never one that was only there too."""

from __future__ import annotations

from itertools import count

import pytest
from scheduler_scene import Scene, fault, states

from taskgrid.lifecycle import TaskState
from taskgrid.model import Cause, WorkerId
from taskgrid.scheduler import checkpoint, control, lease, workers
from taskgrid.scheduler.explain import explain
from taskgrid.scheduler.lease import Grant
from taskgrid.scheduler.limits import Limits
from taskgrid.scheduler.state import Job

_KILLER = 1


def _lose(scene: Scene, *lost: WorkerId) -> None:
    for worker in lost:
        workers.disconnected(scene.core, worker, scene.now)
    scene.tick(scene.limits.reconnect_grace + 0.1)


def _lost(job: Job) -> list[int]:
    return [job.trails.past(index).lost for index in range(job.total)]


def _isolated(scene: Scene, name: str, *, slots: int = 1) -> tuple[Job, WorkerId, Grant]:
    """Make a job of two tasks of which the first is leased in isolation, to a worker that still asks."""
    job = scene.job(2)
    for _ in range(2):
        worker = scene.worker("before")
        assert scene.lease(worker, 2)
        _lose(scene, worker)
    worker = scene.worker(name, slots=slots)
    (grant,) = scene.lease(worker, 2)
    assert grant.runs == ((0, 1),)
    return job, worker, grant


def _isolated_among_the_busy(scene: Scene) -> tuple[Job, tuple[WorkerId, Grant], tuple[WorkerId, Grant]]:
    """Make a job with a task that waits to be isolated, and two workers with enough else to do."""
    job = scene.job(1)
    for name in ("before", "last"):
        worker = scene.worker(name)
        (grant,) = scene.lease(worker)
        if name == "before":
            _lose(scene, worker)
    scene.job(19)
    first, second = scene.worker("first"), scene.worker("second")
    (one,), (other,) = scene.lease(first), scene.lease(second)
    _lose(scene, worker)
    assert (grant.job, job.isolated.runs()) == (job, ((0, 1),))
    return job, (first, one), (second, other)


class _Hands:
    """Workers of some slots that hold all they can get, are killed by one task, and are replaced each time."""

    def __init__(self, scene: Scene, slots: int, *, prefetch: int) -> None:
        self._scene = scene
        self._slots = slots
        self._most = slots + prefetch
        self._names = count(1)
        self.lost = 0
        self._hire()

    def _hire(self) -> None:
        self._worker = self._scene.worker(f"w{next(self._names)}", slots=self._slots)
        self._held: list[Grant] = []

    def turn(self) -> None:
        """Take what there is; lose the worker if the killer runs on it, else end the first task."""
        scene = self._scene
        while got := scene.lease(self._worker, self._most - len(self._held)) if len(self._held) < self._most else []:
            self._held += got
        running = [grant.runs[0][0] for grant in self._held[: self._slots]]
        if _KILLER in running:
            self.lost += 1
            _lose(scene, self._worker)
            self._hire()
        elif self._held:
            scene.report(self._worker, self._held.pop(0))


def test_a_task_that_waited_behind_the_one_that_kills_workers_is_not_buried_with_it() -> None:
    """Its neighbour kills worker after worker of one slot, which hold both: only the neighbour fails for that."""
    scene = Scene()
    job = scene.job(3)
    hands = _Hands(scene, 1, prefetch=2)
    while not job.ended:
        hands.turn()
    assert states(job) == ["succeeded", "failed", "succeeded"]
    assert hands.lost == 2 + scene.limits.lost_workers, "twice in company, then alone"


def test_a_task_that_runs_beside_the_one_that_kills_workers_is_not_charged() -> None:
    """Of many slots one runs the killer: all the others' tasks end well, whatever the killer takes with it."""
    scene = Scene()
    job = scene.job(40)
    hands = _Hands(scene, 8, prefetch=8)
    while not job.ended:
        hands.turn()
        assert sum(_lost(job)) == _lost(job)[_KILLER]
    assert states(job) == ["succeeded", "failed", *["succeeded"] * 38]
    assert hands.lost == 2 + scene.limits.lost_workers


def test_a_task_of_another_job_is_not_charged_either() -> None:
    """What counts is who else was on the worker, of whatever job."""
    scene = Scene()
    innocent, _ = scene.job(1), scene.job(1)
    for number in range(2):
        worker = scene.worker(f"w{number}")
        assert len(scene.lease(worker, 2)) == 2
        _lose(scene, worker)
    worker = scene.worker("third")
    assert [grant.job for grant in scene.lease(worker, 2)] == [innocent]
    _lose(scene, worker)
    assert _lost(innocent) == [1], "now it was alone"


def test_the_worker_of_an_isolated_task_gets_nothing_else_until_that_has_ended() -> None:
    """Else its loss would say nothing again."""
    scene = Scene()
    job, worker, grant = _isolated(scene, "w", slots=4)
    assert scene.lease(worker, 4) == []
    scene.report(worker, grant)
    assert [each.runs for each in scene.lease(worker, 4)] == [((1, 2),)], "which is isolated as well"
    assert _lost(job) == [0, 0]


def test_a_busy_worker_is_cleared_for_an_isolated_task() -> None:
    """There may never be one that holds nothing by chance: one gets nothing more until it does."""
    scene = Scene()
    job, (busy, first), (other, _) = _isolated_among_the_busy(scene)
    assert scene.lease(busy) == [], "it is the one"
    assert scene.lease(other), "and no other stands still for it"
    scene.report(busy, first)
    (grant,) = scene.lease(busy, 3)
    assert grant.job is job
    scene.report(busy, grant)
    assert scene.lease(busy), "then it goes on"


def test_a_worker_is_not_cleared_for_a_task_that_is_cancelled() -> None:
    """Who stood still goes on."""
    scene = Scene()
    job, (busy, _), _ = _isolated_among_the_busy(scene)
    assert scene.lease(busy) == []
    scene.cancel(job)
    assert scene.lease(busy)


def test_a_worker_that_holds_nothing_takes_what_another_is_cleared_for() -> None:
    """Whoever can first; and who stood still goes on."""
    scene = Scene()
    job, (busy, _), _ = _isolated_among_the_busy(scene)
    assert scene.lease(busy) == []
    (grant,) = scene.lease(scene.worker("idle"))
    assert grant.job is job
    assert scene.lease(busy)


def test_a_cleared_worker_that_is_lost_leaves_its_place_to_another() -> None:
    """The task that waits for it does not wait for ever."""
    scene = Scene()
    job, (busy, _), (other, held) = _isolated_among_the_busy(scene)
    assert scene.lease(busy) == []
    _lose(scene, busy)
    assert scene.lease(other) == []
    scene.report(other, held)
    assert [grant.job for grant in scene.lease(other)] == [job]


def test_isolation_leaves_half_of_the_workers_to_the_others() -> None:
    """A host of many slots takes many along: they are not tried all at once, at the cost of everything else."""
    scene = Scene()
    job = scene.job(8)
    for _ in range(2):
        large = scene.worker("large", slots=8)
        assert len(scene.lease(large, 8)) == 8
        _lose(scene, large)
    assert len(job.isolated) == 8
    small = [scene.worker(f"w{number}") for number in range(7)]
    assert [len(scene.lease(worker)) for worker in small] == [1, 1, 1, 0, 0, 0, 0]
    scene.job(9)
    assert [len(scene.lease(worker)) for worker in small] == [0, 0, 0, 1, 1, 1, 1]


def test_two_workers_of_one_host_do_not_run_isolated_tasks_at_once() -> None:
    """Who kills a host kills both."""
    scene = Scene()
    job = scene.job(2)
    for _ in range(2):
        worker = scene.worker("w")
        assert len(scene.lease(worker, 2)) == 2
        _lose(scene, worker)
    here, beside = scene.worker("here", host="h"), scene.worker("beside", host="h")
    for number in range(4):
        scene.worker(f"elsewhere{number}")
    assert len(scene.lease(here)) == 1
    assert scene.lease(beside) == []
    assert len(scene.lease(WorkerId("elsewhere1"))) == 1
    _lose(scene, here, beside)
    assert _lost(job) == [1, 0]


def test_an_isolated_task_that_nobody_came_for_after_a_restart_is_charged() -> None:
    """Master and worker die together: the record of the lease says that nothing else was there."""
    scene = Scene()
    job, _, _ = _isolated(scene, "w")
    for restart in range(1, scene.limits.lost_workers):
        scene.restart()
        job = scene.again(job)
        scene.tick(scene.limits.reconnect + 1.0)
        assert _lost(job) == [restart, 0]
        assert [grant.runs for grant in scene.lease(scene.worker(f"w{restart}"), 2)] == [((0, 1),)]
    scene.restart()
    job = scene.again(job)
    scene.tick(scene.limits.reconnect + 1.0)
    assert states(job) == ["failed", "queued"]


def test_an_isolated_task_whose_worker_is_back_after_a_restart_without_it_is_not_charged() -> None:
    """It was given back, or its lease's answer never arrived: the worker was not lost, so nothing is to be charged."""
    scene = Scene()
    job, worker, grant = _isolated(scene, "w")
    workers.release(scene.core, worker, [workers.Held(grant.lease.token, job.number, grant.runs)])
    for lost, comes in ((0, worker), (0, worker), (1, WorkerId("another"))):
        scene.restart()
        job = scene.again(job)
        scene.worker(comes)
        scene.tick(scene.limits.reconnect + 1.0)
        assert _lost(job) == [lost, 0]
        assert [grant.runs for grant in scene.lease(comes, 2)] == [((0, 1),)]


def test_a_single_task_that_nobody_came_for_after_a_restart_is_isolated() -> None:
    """What else its worker held died with the master that knew."""
    scene = Scene()
    job = scene.job(1)
    scene.lease(scene.worker("a"))
    scene.tick(scene.limits.lease + 1.0)
    (single,) = scene.lease(scene.worker("b"))
    assert single.alone
    scene.restart()
    job = scene.again(job)
    scene.tick(scene.limits.lease + 1.0)
    assert _lost(job) == [0]
    assert job.isolated.runs() == ((0, 1),)


def test_isolation_survives_a_restart_and_a_checkpoint() -> None:
    """What the loss in company taught is in the next lease's record, and in a checkpoint at once."""
    scene = Scene()
    job, worker, grant = _isolated(scene, "w")
    loaded = checkpoint.load(checkpoint.dump(job))
    assert (loaded.isolated.runs(), loaded.trails.past(0).isolated) == (((1, 2),), True)
    scene.restart()
    job = scene.again(job)
    worker, _ = scene.worker("w", slots=2), scene.worker("other")
    assert scene.beat(worker, grant, runs=grant.runs) == []
    assert scene.lease(worker, 2) == [], "it has been taken up again, and is still to be alone"
    _lose(scene, worker)
    assert _lost(job) == [1, 0]


def test_a_worker_gets_nothing_before_it_has_said_what_it_holds() -> None:
    """After a restart nobody knows that it has a task to itself: whatever it got would be there, too."""
    scene = Scene()
    job, worker, grant = _isolated(scene, "w")
    scene.restart()
    scene.job(1)
    scene.worker("w", slots=2, told=False)
    assert workers.is_silent(scene.core, worker)
    assert scene.lease(worker, 2) == []
    assert scene.beat(worker, grant, runs=grant.runs) == []
    assert not workers.is_silent(scene.core, worker)
    assert scene.lease(worker, 2) == [], "it still has a task to itself"
    scene.report(worker, grant, runs=grant.runs)
    assert scene.lease(worker, 2)
    _lose(scene, worker)
    assert _lost(scene.again(job)) == [0, 0]


def test_a_worker_whose_lease_ran_out_says_what_it_holds_before_it_gets_more() -> None:
    """It may still run that task, and take it up again with its next beat."""
    scene = Scene()
    job, worker, grant = _isolated(scene, "w")
    scene.job(1)
    scene.now += scene.limits.lease - 1.0
    assert scene.lease(worker) == [], "its requests come through, its beats do not"
    scene.tick(2.0)
    assert states(job) == ["queued", "queued"]
    assert scene.lease(worker) == []
    assert scene.beat(worker, grant, runs=((0, 1),)) == []
    assert scene.lease(worker) == []
    assert states(job) == ["leased", "queued"]


@pytest.mark.parametrize("sign", ["a beat names it", "a report comes", "its answer is asked for again", "time passes"])
def test_a_beat_that_may_have_left_before_a_lease_came_says_nothing(sign: str) -> None:
    """The lease ran out before its worker named it, which may run it all the same: it gets no other beside it."""
    scene = Scene()
    scene.job(3)
    worker = scene.worker("w")
    (grant,) = scene.lease(worker)
    runs = grant.runs
    for _ in range(3):
        scene.beat(worker)
        scene.tick(scene.limits.lease / 3)
    assert grant.lease.token not in scene.core.leases
    scene.beat(worker)
    assert scene.lease(worker) == []
    if sign == "a beat names it":
        assert scene.beat(worker, grant, runs=runs) == []
    elif sign == "a report comes":
        scene.report(worker, grant, runs=runs)
    elif sign == "its answer is asked for again":
        known = scene.core.workers[worker]
        assert lease.lease(scene.core, worker, known.nonce, 1, scene.now).grants == []
    else:
        scene.tick(scene.limits.lease - 1.0)
        scene.beat(worker)
        assert scene.lease(worker) == []
        scene.tick(2.0)
    scene.beat(worker)
    assert len(scene.lease(worker)) == 1


def test_a_worker_that_was_lost_says_again_what_it_holds() -> None:
    """One that only tells of new offers has not to."""
    scene = Scene()
    worker = scene.worker("w")
    scene.worker("w", told=False)
    assert not workers.is_silent(scene.core, worker)
    _lose(scene, worker, worker)
    scene.worker("w", told=False)
    assert workers.is_silent(scene.core, worker)


def test_what_is_taken_up_among_others_is_not_charged() -> None:
    """Out of touch twice, with all it holds: its tasks are said to be isolated now, and none is."""
    scene = Scene()
    job = scene.job(2)
    for _ in range(2):
        worker = scene.worker("w")
        first, second = scene.lease(worker, 2)
        _lose(scene, worker)
    worker = scene.worker("w")
    assert scene.beat(worker, first, second, runs=()) == [], "nobody got them meanwhile"
    for grant, runs in ((first, ((0, 1),)), (second, ((1, 2),))):
        assert scene.beat(worker, grant, runs=runs) == []
    assert states(job) == ["leased", "leased"]
    _lose(scene, worker)
    assert _lost(job) == [0, 0]


def test_a_late_holder_had_the_lease_that_was_recorded_not_the_one_to_come() -> None:
    """Its task waited to be isolated when it came back, and then the master was lost too: nobody is charged."""
    scene = Scene()
    job = scene.job(2)
    for _ in range(2):
        worker = scene.worker("w")
        first, _ = scene.lease(worker, 2)
        _lose(scene, worker)
    assert job.isolated.runs() == ((0, 2),)
    worker = scene.worker("w")
    assert scene.beat(worker, first, runs=((0, 1),)) == []
    assert not scene.core.isolated
    loaded = checkpoint.load(checkpoint.dump(job))
    scene.restart()
    checkpoint.restore(scene.core, loaded, scene.now)
    scene.tick(scene.limits.lease + 1.0)
    assert loaded.isolated.runs() == ((0, 2),)
    assert _lost(loaded) == [0, 0]


def test_a_bundle_that_is_lost_twice_is_leased_singly_and_not_in_isolation() -> None:
    """Thousands of small tasks may go with a worker: they are tried one by one, and those that are lost again then."""
    scene = Scene()
    job = scene.job(8)
    job.durations.add([(0, 100)])
    job.largest_done = 100
    worker = scene.worker("w")
    (bundle,) = scene.lease(worker)
    held = bundle.runs
    assert held == ((0, 4),)
    for _ in range(2):
        _lose(scene, worker)
        worker = scene.worker("w")
        assert scene.beat(worker, bundle, runs=held) == []
    _lose(scene, worker)
    assert (job.isolated.runs(), job.singles.runs()) == ((), ((0, 4),))


def test_an_isolated_task_of_a_function_that_runs_alone_is_charged_when_its_lease_ends() -> None:
    """Its worker out of touch may live: it is given to nobody else until then, and is charged once."""
    scene = Scene()
    job = scene.job(1, alone=True)
    for number in range(3):
        worker = scene.worker(f"w{number}")
        assert scene.lease(worker)
        _lose(scene, worker)
        assert states(job) == ["leased"]
        scene.tick(scene.limits.lease)
    assert _lost(job) == [1]


def test_a_task_that_crashed_and_then_lost_a_worker_is_isolated() -> None:
    """It was alone in its bundle for its crash already."""
    scene = Scene()
    job = scene.job(2)
    worker = scene.worker("w")
    first, _ = scene.lease(worker, 2)
    scene.report(worker, first, {0: fault(Cause.CRASH)})
    scene.lease(worker)
    _lose(scene, worker)
    assert (job.isolated.runs(), job.singles.runs()) == (((0, 1),), ((1, 2),))


def test_an_isolated_task_comes_back_clean() -> None:
    """Who retries a task that was buried has mended something."""
    scene = Scene(Limits(least_seconds=0.0, lost_workers=1))
    job, worker, _ = _isolated(scene, "w")
    _lose(scene, worker)
    assert states(job)[0] == "failed"
    scene.retry(job, (0, 1))
    assert not job.trails.past(0).isolated
    assert not job.trails.past(0).alone


def test_it_says_why_an_isolated_task_waits() -> None:
    """A person sees what it waits for, and what for."""
    scene = Scene()
    job, _, _ = _isolated(scene, "w")
    told = explain(scene.core, job, 1, scene.now)
    assert "to itself" in told.what
    assert told.task is not None
    assert told.task.state is TaskState.QUEUED


def test_an_isolated_task_can_be_cancelled() -> None:
    """While it waits, and while it has its worker to itself, which then goes on."""
    scene = Scene()
    job, worker, _ = _isolated(scene, "w")
    scene.keep(*control.cancel(scene.core, job, (), scene.now))
    assert states(job) == ["cancelled", "cancelled"]
    scene.job(1)
    assert scene.lease(worker)
