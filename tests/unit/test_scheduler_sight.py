"""Sight: a job that names folders goes to workers that see them, and to nobody else."""

from __future__ import annotations

from scheduler_scene import Scene

from taskgrid.model import CodeVersion, JobId, JobSpec, Reason, WorkerId, new_id
from taskgrid.scheduler import explain, lease, workers
from taskgrid.scheduler.state import Job, Worker


def job_over(scene: Scene, *places: str, tasks: int = 4) -> Job:
    """Submit a job that reads folders."""
    identity = JobId(new_id())
    return scene.chunk(identity, 0, tasks, seal=True, spec=JobSpec(id=identity, function="m:f", places=places)).job


def enlist(scene: Scene, name: str, **places: str) -> WorkerId:
    """Enlist a worker with what it sees."""
    identity = WorkerId(name)
    seen = {f"/{place}": why for place, why in places.items()}
    offers = {"m:f": CodeVersion()}
    new = Worker(
        identity, name, f"host-{name}", 1, 1, "0", "3", offers, since=scene.now, seen_at=scene.now, places=seen
    )
    workers.enlist(scene.core, new)
    workers.connected(scene.core, identity)
    scene.beat(identity)
    return identity


def asked(scene: Scene, worker: WorkerId, *, again: bool = False) -> tuple[str, ...]:
    """Return what the worker is asked to look at."""
    return lease.places_to_look_at(scene.core, scene.core.workers[worker], again=again)


def test_only_who_sees_every_folder_gets_tasks() -> None:
    """Neither who does not, nor who has not looked yet; jobs without folders go to anybody."""
    scene = Scene()
    job = job_over(scene, "/a", "/b")
    all_of_it, half, nothing = (
        enlist(scene, "x", a="", b=""),
        enlist(scene, "y", a="", b="gone"),
        enlist(scene, "z", a=""),
    )
    assert not scene.lease(half)
    assert not scene.lease(nothing)
    assert [grant.job for grant in scene.lease(all_of_it)] == [job]
    other = scene.job(3)
    assert [grant.job for grant in scene.lease(half)] == [other]


def test_a_worker_is_asked_once_by_its_requests_and_each_time_by_its_beat() -> None:
    """So that it does not ask and look in a circle, and a folder that comes or goes is noticed."""
    scene = Scene()
    worker = enlist(scene, "x")
    assert asked(scene, worker) == ()
    job_over(scene, "/b", "/a")
    assert asked(scene, worker) == ("/b", "/a")
    assert asked(scene, worker) == ()
    assert asked(scene, worker, again=True) == ("/b", "/a")
    enlist(scene, "x", a="", b="not mounted")
    assert asked(scene, worker) == ()
    assert not scene.lease(worker)
    enlist(scene, "x", a="", b="")
    assert asked(scene, worker, again=True) == ("/b", "/a")
    assert scene.lease(worker)
    enlist(scene, "x", a="gone", b="")
    assert not scene.lease(worker)


def test_few_places_are_asked_about_at_a_time_and_all_in_turn() -> None:
    """Whoever may submit jobs can't have a worker look without an end; nobody is asked for what it can't run."""
    scene = Scene()
    worker = enlist(scene, "x")
    for number in range(10):
        job_over(scene, *(f"/{number}-{place}" for place in range(5)))
    first = asked(scene, worker)
    assert len(first) == 16
    second, third, fourth = asked(scene, worker), asked(scene, worker), asked(scene, worker)
    assert len({*first, *second, *third, *fourth}) == 50
    assert asked(scene, worker) == ()
    assert asked(scene, worker, again=True) == first
    assert asked(scene, worker, again=True) == second
    other = Worker(WorkerId("o"), "o", "o", 1, 1, "0", "3", {"m:g": CodeVersion()}, since=scene.now, seen_at=scene.now)
    workers.enlist(scene.core, other)
    assert asked(scene, other.id) == ()


def test_a_worker_that_is_too_old_to_be_asked_is_taken_to_see_everything() -> None:
    """Masters are upgraded first: until its own turn comes it works as it did."""
    scene = Scene()
    job_over(scene, "/a")
    old = Worker(
        *(WorkerId("old"), "old", "old", 1, 1, "0", "3", {"m:f": CodeVersion()}),
        since=scene.now,
        seen_at=scene.now,
        places=None,
    )
    workers.enlist(scene.core, old)
    assert asked(scene, old.id, again=True) == ()
    scene.beat(old.id)
    assert scene.lease(old.id)


def test_it_says_who_does_not_see_what() -> None:
    """While nobody does, and beside those who work."""
    scene = Scene()
    job = job_over(scene, "/a")
    enlist(scene, "x", a="No such file or directory")
    enlist(scene, "y")
    waiting = explain.explain(scene.core, job, None, scene.now)
    assert waiting.reason is Reason.NOT_SEEN
    assert waiting.why == "x on host-x does not see /a: No such file or directory; 1 more workers see it neither"
    scene.lease(enlist(scene, "z", a=""))
    running = explain.explain(scene.core, job, None, scene.now)
    assert running.reason is Reason.RUNNING
    assert "x on host-x does not see /a" in running.why
