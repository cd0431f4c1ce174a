"""Who is served next: the maintained order against a scan of all, and what jobs without work cost."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from scheduler_scene import Scene, fault

from taskgrid.model import CodeVersion, JobId, JobNumber, JobSpec, WorkerId, new_id
from taskgrid.scheduler import lease, submit, workers
from taskgrid.scheduler.state import Worker
from taskgrid.scheduler.waiting import Kind, Owner, Turn, Waiting


@dataclass(eq=False)
class _Job:
    """What a line knows of a job."""

    number: JobNumber
    owner: Owner
    kind: Kind
    priority: int
    waits: bool = True
    usage: float = 0.0
    in_line: bool = field(default=False)

    @property
    def turn(self) -> Turn:
        return (self.usage, self.number)


def test_the_order_is_that_of_a_scan() -> None:
    """Whatever jobs use, and whenever they come, leave and come again, the next is the one that a scan finds."""
    chance = random.Random(3)
    owners = [Owner(grants=number) for number in range(4)]  # so that no two are equal
    kinds = [("m:f", ""), ("m:f", "2"), ("m:g", "")]
    waiting: Waiting[_Job] = Waiting()
    jobs = [
        _Job(JobNumber(number), chance.choice(owners), chance.choice(kinds), chance.choice([0, 0, 1]))
        for number in range(300)
    ]
    for _ in range(3000):
        job = chance.choice(jobs)
        job.waits = chance.random() < 0.3
        used = chance.choice([0.0, 0.5, 1.0])
        job.usage += used
        job.owner.usage += used
        waiting.settle(job)
        served = chance.sample(kinds, 2)
        there = [each for each in waiting.jobs.values() if each.kind in served]
        expected = min(
            there, key=lambda each: (-each.priority, each.owner.usage, each.owner.grants, *each.turn), default=None
        )
        assert waiting.next_of([kind for kind in waiting.kinds() if kind in served]) is expected
    assert waiting.jobs == {each.number: each for each in jobs if each.waits and each.number in waiting.jobs}


def test_a_job_that_leaves_for_good_is_let_go() -> None:
    """Lines do not keep what was forgotten, however deep it stood."""
    waiting: Waiting[_Job] = Waiting()
    first = _Job(JobNumber(1), Owner(), ("m:f", ""), 0)
    waiting.settle(first)
    later = [_Job(JobNumber(number), first.owner, first.kind, 0, usage=9.0) for number in range(2, 500)]
    for job in later:
        waiting.settle(job)
        job.waits = False
        waiting.settle(job)
    assert sum(job.in_line for job in later) <= 128, "those deep in line are cleared out now and then"
    for job in later:
        waiting.remove(job)
    assert not any(job.in_line for job in later)
    assert waiting.next_of(waiting.kinds()) is first


def test_jobs_with_nothing_to_lease_are_not_looked_at() -> None:
    """A thousand open jobs that wait for their clients cost a lease, a wake-up and a tick nothing."""
    scene = Scene()
    worker = scene.worker("a")
    for _ in range(1000):
        scene.job(1, seal=False)
    while scene.lease(worker, 100):
        pass
    scene.tick(0.2)
    assert not scene.core.waiting.jobs
    assert list(scene.core.waiting.kinds()) == []
    assert scene.core.alarms.ring(scene.core.jobs, scene.now) == []
    assert scene.core.bundles(10) == 0


def test_an_owner_is_forgotten_with_the_last_job() -> None:
    """Owners come and go; what they used is kept while a job of theirs is."""
    scene = Scene()
    worker = scene.worker("a")
    jobs = [scene.job(1, owner="someone") for _ in range(2)]
    for job in jobs:
        scene.report(worker, scene.lease(worker)[0], seconds=2.0)
        assert "someone" in scene.core.owners
        scene.core.forget(job)
    assert scene.core.owners == {}


def test_a_job_waits_for_its_code_until_it_may_run_any() -> None:
    """A worker with other code is told once for each new job, with a beat each time, and for any code never."""
    scene = Scene()
    scene.worker("a")
    core = scene.core
    identity = JobId(new_id())
    spec = JobSpec(id=identity, function="m:f", code=CodeVersion(version="2"))
    job = scene.chunk(identity, 0, 1, spec=spec).job
    worker = core.workers[WorkerId("a")]
    assert lease.waiting_for_code(core, worker) == [job]
    assert lease.waiting_for_code(core, worker) == []
    assert lease.waiting_for_code(core, worker, again=True) == [job]
    assert scene.lease(worker.id) == []
    scene.cancel(job)
    assert not core.by_code
    scene.retry(job)
    assert lease.waiting_for_code(core, worker, again=True) == []
    assert len(scene.lease(worker.id)) == 1


def test_a_tick_looks_at_a_job_when_something_of_it_is_due() -> None:
    """A backoff, the end of a doubt, a client's grace: each rings in time, and the earliest first."""
    scene = Scene()
    worker = scene.worker("a")
    job = scene.job(1, seal=False, max_attempts=2)
    grace = job.spec.client_grace.total_seconds()
    assert job.alarm_at == scene.now + grace
    (grant,) = scene.lease(worker)
    scene.report(worker, grant, {0: fault()})
    assert job.alarm_at == scene.now + 1.0
    scene.tick(1.0)
    assert job.alarm_at == scene.now - 1.0 + grace
    submit.keep(scene.core, (job.id,), scene.now)
    scene.tick(grace - 1.0)
    assert not job.sealed, "its client was heard meanwhile"
    scene.tick(1.1)
    assert job.sealed
    assert job.abandoned


def test_a_worker_is_told_again_after_it_enlisted_anew() -> None:
    """Other offers may fit no better."""
    scene = Scene()
    identity = JobId(new_id())
    spec = JobSpec(id=identity, function="m:f", code=CodeVersion(version="2"))
    job = scene.chunk(identity, 0, 1, spec=spec).job
    for version in ("0", "1"):
        offers = {"m:f": CodeVersion(version=version)}
        new = Worker(WorkerId("w"), "w", "h", 1, 1, "0", "3", offers, since=scene.now, seen_at=scene.now)
        workers.enlist(scene.core, new)
        assert lease.waiting_for_code(scene.core, new) == [job]
