"""Workers come, beat, give back, go and are lost; leases end; delayed tasks fall due.

A lease ends by its report, by its release, when its time is over, or when its worker's last
connection has been gone for the grace. If the process stood still between two ticks (a suspended
machine), leases are extended by that time: nobody could have beaten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from taskgrid.lifecycle import BYTE, TaskEvent, TaskState
from taskgrid.model import Buried, Cause, Failure, JobNumber, Run, Token, WorkerId, failure_line
from taskgrid.scheduler.apply import commit, place
from taskgrid.scheduler.change import Change, Row
from taskgrid.scheduler.lease import options_for
from taskgrid.scheduler.runs import RunSet, count, subtract
from taskgrid.scheduler.state import Core, Job, Lease, Worker
from taskgrid.scheduler.submit import seal_abandoned
from taskgrid.scheduler.trails import rank

_QUEUED = BYTE[TaskState.QUEUED]
_CANCELLED = BYTE[TaskState.CANCELLED]
_SHOWN_AFTER_LOSS = 3600.0
_STOOD_STILL = 2.0


@dataclass(frozen=True, slots=True)
class Held:
    """A lease as a worker names it."""

    token: Token
    job: JobNumber
    runs: Sequence[Run]


@dataclass(frozen=True, slots=True)
class Taken:
    """Runs of a lease that are no longer its worker's."""

    token: Token
    runs: list[Run]
    cancelled: bool


@dataclass(slots=True)
class Tick:
    """What the passing of time did."""

    changes: list[Change] = field(default_factory=list)
    freed: bool = False
    """There may be something to lease now that wasn't before."""


def enlist(core: Core, worker: Worker) -> None:
    """Take a worker in, or its new offers; its leases and connections stay."""
    known = core.workers.get(worker.id)
    if known:
        worker.since, worker.leases, worker.connections = known.since, known.leases, known.connections
        worker.streaks, worker.done = known.streaks, known.done
        worker.nonce, worker.granted = known.nonce, known.granted
        worker.asked, worker.under_way = known.asked, known.under_way
        worker.told = known.told and known.lost_at is None
    core.workers[worker.id] = worker
    core.count_slots()


def extend(core: Core, worker_id: WorkerId, held: Iterable[Held], now: float) -> list[Taken] | None:
    """Hear a beat: extend what goes on, take up again what may, return what is gone; None for a stranger."""
    worker = core.workers.get(worker_id)
    if worker is None or worker.lost_at is not None:
        return None
    worker.seen_at = now
    gone: list[Taken] = []
    for lease in held:
        gone += _extend(core, worker, lease, now)
        worker.under_way.pop(lease.token, None)
    if not any(now - since < core.limits.lease for since in worker.under_way.values()):
        worker.told = True
        worker.under_way.clear()
    return gone


def is_silent(core: Core, worker_id: WorkerId) -> bool:
    """Say whether a worker gets nothing, until it has said what it holds."""
    worker = core.workers.get(worker_id)
    return worker is not None and worker.lost_at is None and not worker.told


def release(core: Core, worker_id: WorkerId, held: Iterable[Held]) -> None:
    """Take back tasks that were not begun: they wait again, at no cost."""
    for given in held:
        lease, job = core.leases.get(given.token), core.jobs.get(given.job)
        if lease is None or job is None or lease.worker != worker_id:
            continue
        for start, stop in given.runs:
            for run in lease.runs.within(start, stop):
                _requeue(job, run, TaskEvent.RELEASED)
                lease.runs.remove(*run)
        core.waiting.settle(job)
        if not lease.runs:
            core.drop_lease(lease)


def leave(core: Core, worker_id: WorkerId) -> None:
    """Let a worker go; what it still held waits again, at no cost: it said that nothing runs."""
    worker = core.workers.pop(worker_id, None)
    core.count_slots()
    for lease in list(worker.leases.values()) if worker else []:
        job = core.jobs[lease.job]
        for run in lease.runs.runs():
            _requeue(job, run, TaskEvent.RELEASED)
        core.waiting.settle(job)
        core.drop_lease(lease)


def connected(core: Core, worker_id: WorkerId) -> None:
    """Count a connection of a worker."""
    if worker := core.workers.get(worker_id):
        worker.connections += 1
        worker.gone_at = None


def disconnected(core: Core, worker_id: WorkerId, now: float) -> None:
    """Count one less; with the last its grace begins."""
    worker = core.workers.get(worker_id)
    if worker is None:
        return
    worker.connections -= 1
    if worker.connections <= 0:
        worker.connections, worker.gone_at = 0, now


def tick(core: Core, now: float) -> Tick:
    """Let time pass."""
    stood_still = now - core.ticked_at
    core.ticked_at = now
    if stood_still > _STOOD_STILL:
        _extend_all(core, stood_still)
    done = Tick()
    for worker in list(core.workers.values()):
        _check(core, worker, done, now)
    for lease in list(takewhile(lambda lease: lease.expires_at <= now, core.leases.values())):
        _expire(core, lease, done, now)
    for job in core.alarms.ring(core.jobs, now):
        _look_at(core, job, done, now)
    return done


def _look_at(core: Core, job: Job, done: Tick, now: float) -> None:
    _fall_due(job, done, now)
    if job.doubt and now >= core.doubt_ends_at(job):
        _end_doubt(core, job, done, now)
    if job.held_back and now >= core.held_back_until(job):
        done.freed = True
        for run in job.held_back.take(len(job.held_back)):
            job.again.add(*run)
    if sealed := seal_abandoned(core, job, now):
        done.changes.append(sealed)
    core.waiting.settle(job)
    core.arm(job)


def _extend_all(core: Core, by: float) -> None:
    core.doubt_until += by
    latest = core.ticked_at + core.limits.lease  # else one renewed after the last tick outlasts those granted now
    for lease in core.leases.values():
        lease.expires_at = min(lease.expires_at + by, latest)
    for job in core.active.values():
        job.client_seen += by
    for worker in core.workers.values():
        worker.seen_at += by
        if worker.gone_at is not None:
            worker.gone_at += by


def _extend(core: Core, worker: Worker, held: Held, now: float) -> list[Taken]:
    job = core.jobs.get(held.job)
    if job is None or not core.known_token(held.token):
        return [Taken(held.token, list(held.runs), cancelled=False)]
    lease = core.leases.get(held.token)
    if lease is None:
        lease = _take_up(core, job, worker, held, now)
    lease.named = True
    core.renew(lease, now)
    if all(lease.runs.covers(start, stop) for start, stop in held.runs):
        return []
    missing = [gap for start, stop in held.runs for gap in subtract((start, stop), lease.runs.within(start, stop))]
    cancelled = [run for run in missing if job.states[run[0] : run[1]].count(_CANCELLED)]
    others = [run for run in missing if run not in cancelled]
    return [Taken(held.token, runs, cancelled=flag) for runs, flag in ((cancelled, True), (others, False)) if runs]


def _take_up(core: Core, job: Job, worker: Worker, held: Held, now: float) -> Lease:
    """Take up a lease of before a restart, or one that expired: those of its tasks that nobody got since."""
    lease = Lease(held.token, job.number, worker.id, RunSet(), count(held.runs), now)
    for start, stop in held.runs:
        for index in range(max(start, 0), min(stop, max(job.cursor, job.mark), job.total)):
            if job.states[index] == _QUEUED and rank(held.token) >= job.floor(index):
                job.unqueue(index, index + 1)
                job.move(index, index + 1, TaskEvent.GRANTED)
                lease.runs.add(index, index + 1)
    if lease.runs:
        job.grants += 1
        core.waiting.settle(job)
        core.leases[lease.token] = worker.leases[lease.token] = job.leases[lease.token] = lease
        if len(worker.leases) > 1:
            core.isolated.difference_update(worker.leases)  # what was alone there has company
        elif len(lease.runs) == 1 and job.trails.past(lease.runs.runs()[0][0]).was_isolated:
            core.isolated.add(lease.token)
    return lease


def _requeue(job: Job, run: Run, event: TaskEvent) -> None:
    job.move(*run, event)
    place(job, *run)


def _check(core: Core, worker: Worker, done: Tick, now: float) -> None:
    if worker.lost_at is not None:
        if now - worker.lost_at > _SHOWN_AFTER_LOSS:
            del core.workers[worker.id]
        return
    gone = worker.gone_at is not None and now - worker.gone_at > core.limits.reconnect_grace
    if not gone and now - worker.seen_at <= core.limits.lease:
        return
    worker.lost_at = now
    core.count_slots()
    worker.held_when_lost = {}
    for lease in list(worker.leases.values()):
        worker.held_when_lost[lease.job] = worker.held_when_lost.get(lease.job, ()) + lease.runs.runs()
        # A worker out of touch runs what is alone until its margin: only then may another have it.
        if not options_for(core.jobs[lease.job], worker).alone or lease.expires_at <= now:
            _expire(core, lease, done, now)


def _expire(core: Core, lease: Lease, done: Tick, now: float) -> None:
    """End a lease without a report: its tasks are suspects, and one that had its worker to itself is charged."""
    charged, singly = lease.token in core.isolated, lease.granted == 1
    core.drop_lease(lease)
    if worker := core.workers.get(lease.worker):
        worker.told = False  # what it still runs it may take up again
        if not lease.named:
            worker.under_way[lease.token] = now
    job = core.jobs[lease.job]
    done.freed = True
    for run in lease.runs.runs():
        job.move(*run, TaskEvent.EXPIRED)
        for index in range(*run):
            _suspect(core, job, index, done, now, charged=charged, singly=singly)
    core.waiting.settle(job)


def _suspect(core: Core, job: Job, index: int, done: Tick, now: float, *, charged: bool, singly: bool) -> None:
    past = job.trails.past(index)
    isolated = past.isolated or (past.alone and singly)
    past = past._replace(attempts=past.attempts + 1, alone=True, isolated=isolated)
    if charged:
        line = f"attempt {past.attempts}: {Cause.LOST_WORKER}: its worker was lost"
        past = past._replace(lost=past.lost + 1, history=past.with_line(line))
    job.trails.put(index, past)
    if past.lost >= core.limits.lost_workers:
        done.changes.append(_bury(core, job, index, past.attempts, now))
    else:
        place(job, index, index + 1)


def _bury(core: Core, job: Job, index: int, attempts: int, now: float) -> Change:
    failure = Failure(
        cause=Cause.LOST_WORKER,
        message=f"its worker was lost {core.limits.lost_workers} times while it held this task alone",
        attempt=attempts,
    )
    row = Row(job.next_sequence, index, 1, lines=failure_line(failure))
    change = commit(core, job, Buried(index=index, first_sequence=job.next_sequence, at=now))
    change.rows = [row]
    return change


def _fall_due(job: Job, done: Tick, now: float) -> None:
    for run in job.trails.take_due(now):
        job.move(*run, TaskEvent.DUE)
        place(job, *run)
        done.freed = True


def _end_doubt(core: Core, job: Job, done: Tick, now: float) -> None:
    """Nobody came for these: lease them again; one that was isolated before the restart is charged with its worker.

    It is not if that worker has come: then it never got the task, or has given it back.
    """
    done.freed = True
    for run in job.doubt.take(len(job.doubt)):
        for index in range(*run):
            if job.trails.floor(index):
                past = job.trails.past(index)
                charged = past.was_isolated and past.isolated_on not in core.workers
                _suspect(core, job, index, done, now, charged=charged, singly=past.alone)
            else:
                job.again.add(index, index + 1)
