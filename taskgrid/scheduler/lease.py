"""Lease: which tasks a worker gets next, and how many at once.

Higher priority first; equals share by slot time per owner, then per job. A bundle is about
`bundle_seconds` of work by a high quantile of the job's durations, starts at one task, grows
fourfold at most, and is never more than a fair share of what is left. Suspects go alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from taskgrid.lifecycle import BYTE, TaskEvent, TaskState
from taskgrid.model import MERGE_BLOCK, Declared, Leased, Run, TaskOptions, WorkerId
from taskgrid.scheduler import isolation, sight
from taskgrid.scheduler.apply import commit
from taskgrid.scheduler.change import Change
from taskgrid.scheduler.runs import RunSet
from taskgrid.scheduler.state import Core, Job, Lease, Worker
from taskgrid.scheduler.submit import next_mark
from taskgrid.scheduler.waiting import Kind

_QUEUED = BYTE[TaskState.QUEUED]
_MAX_RUNS = 256
_SUSPECT_AFTER = 20


class Grant(NamedTuple):
    """One lease to be answered."""

    job: Job
    lease: Lease
    runs: tuple[Run, ...]
    """As granted: the lease itself may lose some before the answer leaves."""
    attempts: tuple[tuple[int, int], ...]
    """(task, attempt) where the attempt isn't the first."""
    options: TaskOptions
    alone: bool


@dataclass(slots=True)
class Leases:
    """The answer to a worker that asks for work."""

    known: bool = True
    grants: list[Grant] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    rests_on: dict[Job, int] = field(default_factory=dict)
    """Records that must be committed before the answer leaves, by job."""


def lease(core: Core, worker_id: WorkerId, nonce: str, bundles: int, now: float) -> Leases:
    """Grant up to `bundles` leases; none if there is nothing that this worker may run now."""
    worker = core.workers.get(worker_id)
    if worker is None or worker.lost_at is not None:
        return Leases(known=False)
    worker.seen_at = now
    if nonce == worker.nonce and worker.granted:
        return _same_again(core, worker)
    answer = Leases()
    if worker.draining or not worker.told:
        return answer
    if job := isolation.cleared_for(core, worker):
        _grant(core, job, worker, answer, now)
    _grant_in_turn(core, worker, bundles, answer, now)
    worker.nonce = nonce
    worker.granted = [grant.lease.token for grant in answer.grants]
    return answer


def may_run(job: Job, worker: Worker) -> bool:
    """Say whether the worker offers the job's function, with the code that the job means, and sees what it reads."""
    return _runs(worker, job.kind)


def has_code(worker: Worker, kind: Kind) -> bool:
    """Say whether the worker offers a function, with the code that is meant."""
    offered = worker.offers.get(kind.function)
    if offered is None:
        return "*" in worker.offers
    return not kind.version or offered.version == kind.version


def waiting_for_code(core: Core, worker: Worker, *, again: bool = False) -> list[Job]:
    """Return a job for each version of a function's code that is waited for, where the worker offers another one.

    Only versions of which it was not told since a job with them came, unless it is told `again`.
    """
    seen, worker.rechecked = worker.rechecked, core.next_number - 1
    return [
        job
        for job in core.by_code.newest(worker.offers.keys())
        if (again or job.number > seen) and not has_code(worker, job.kind)
    ]


def places_to_look_at(core: Core, worker: Worker, *, again: bool = False) -> tuple[str, ...]:
    """Return folders that waiting jobs read which this worker could run, if it sees them; see `sight`."""
    kinds = (kind for kind in core.waiting.kinds() if kind.places and has_code(worker, kind))
    return sight.places_to_look_at(worker, kinds, again=again)


def options_for(job: Job, worker: Worker | None) -> TaskOptions:
    """Return the job's options, and where it says nothing those that the worker's function declares."""
    declared = worker.declared.get(job.spec.function) if worker else None
    options = job.spec.options.over(declared) if declared else job.spec.options
    return options.model_copy(update={"alone": True}) if job.alone and not options.alone else options


def is_suspected(job: Job, worker: Worker) -> bool:
    """Say whether the job's tasks fail on this worker while they succeed on others."""
    return worker.streaks.get(job.number, 0) >= _SUSPECT_AFTER and bool(job.succeeded_on - {worker.id})


def _runs(worker: Worker, kind: Kind) -> bool:
    return has_code(worker, kind) and (not kind.places or sight.sees(worker, kind))


def _grant_in_turn(core: Core, worker: Worker, bundles: int, answer: Leases, now: float) -> None:
    kinds = [kind for kind in core.waiting.kinds() if _runs(worker, kind)]
    passed_over: list[Job] = []
    while (
        len(answer.grants) < bundles
        and not isolation.gets_nothing(core, worker)
        and (job := core.waiting.next_of(kinds))
    ):
        if not _grant(core, job, worker, answer, now):
            core.waiting.step_aside(job)
            passed_over.append(job)
        elif not job.waits:
            core.waiting.settle(job)
    for job in passed_over:
        core.waiting.settle(job)


def _same_again(core: Core, worker: Worker) -> Leases:
    worker.under_way.clear()  # it has not got that answer, and this one has no such leases
    held = [core.leases[token] for token in worker.granted if token in core.leases]
    answer = Leases(grants=[_as_grant(core.jobs[lease.job], lease, worker) for lease in held if lease.job in core.jobs])
    for grant in answer.grants:
        answer.rests_on[grant.job] = grant.job.next_record - 1
    return answer


def _grant(core: Core, job: Job, worker: Worker, answer: Leases, now: float) -> bool:
    if is_suspected(job, worker) and any(lease.worker == worker.id for lease in job.leases.values()):
        return False
    isolated = bool(job.isolated) and isolation.may_begin(core, job, worker)
    if not isolated and isolation.gets_nothing(core, worker):
        return False
    past = job.isolated.take(1) if isolated else _take_past(core, job, worker)
    runs = past or _take_fresh(core, job, worker, answer, now)
    if not runs:
        return False
    lease = _make(core, job, worker, runs, now)
    if isolated:
        core.isolated.add(lease.token)
    if not job.alone and options_for(job, worker).alone:  # a restart must know before the worker has one
        answer.changes.append(commit(core, job, Declared()))
        answer.rests_on[job] = job.next_record - 1
    if past:
        answer.changes.append(commit(core, job, _leased(job, lease, past, isolated=isolated)))
        answer.rests_on[job] = job.next_record - 1
    answer.grants.append(_as_grant(job, lease, worker))
    return True


def _make(core: Core, job: Job, worker: Worker, runs: Sequence[Run], now: float) -> Lease:
    for start, stop in runs:
        job.move(start, stop, TaskEvent.GRANTED)
    job.grants += 1
    job.owner.grants += 1
    covered = RunSet(runs)
    lease = Lease(core.new_token(), job.number, worker.id, covered, covered.size, now + core.limits.lease)
    core.leases[lease.token] = worker.leases[lease.token] = job.leases[lease.token] = lease
    return lease


def _leased(job: Job, lease: Lease, runs: Sequence[Run], *, isolated: bool) -> Leased:
    tries = tuple(
        (index, past.attempts, past.lost)
        for start, stop in runs
        for index, past in job.trails.within(start, stop)
        if past.attempts
    )
    alone = lease.granted == 1 and job.trails.past(runs[0][0]).alone
    worker = lease.worker if isolated else ""
    return Leased(token=lease.token, runs=tuple(runs), alone=alone, isolated=isolated, worker=worker, tries=tries)


def _as_grant(job: Job, lease: Lease, worker: Worker) -> Grant:
    attempts: tuple[tuple[int, int], ...] = ()
    if job.trails:
        attempts = tuple(
            (index, past.attempts + 1)
            for start, stop in lease.runs
            for index, past in job.trails.within(start, stop)
            if past.attempts
        )
    first = next(iter(lease.runs), (0, 0))[0]
    alone = lease.granted == 1 and job.trails.past(first).alone
    return Grant(job, lease, lease.runs.runs(), attempts, options_for(job, worker), alone)


def _take_past(core: Core, job: Job, worker: Worker) -> list[Run]:
    """Take tasks that were leased before: each such lease is a record."""
    if job.elsewhere and (taken := _for_this_host(core, job, worker)):
        return taken
    if job.singles:
        return job.singles.take(1)
    if job.again:
        taken = []
        for run in job.again.take(_size(core, job, worker)):
            if len(taken) < _MAX_RUNS:
                taken.append(run)
            else:
                job.again.add(*run)
        return taken
    return []


def _for_this_host(core: Core, job: Job, worker: Worker) -> list[Run]:
    for host, line in list(job.elsewhere.items()):
        if host != worker.host or not other_host(core, job, host):
            taken = line.take(1)
            if not line:
                del job.elsewhere[host]
            return taken
    return []


def other_host(core: Core, job: Job, host: str) -> bool:
    """Say whether a worker on another host could run the job."""
    return any(other.host != host and may_run(job, other) for other in core.connected())


def _take_fresh(core: Core, job: Job, worker: Worker, answer: Leases, now: float) -> list[Run]:
    """Take tasks that were never leased, from the cursor on, stepping over those cancelled meanwhile."""
    at = job.states.find(_QUEUED, job.cursor, job.committed_total)
    start = job.cursor = at if at >= 0 else max(job.cursor, job.committed_total)
    stop = job.committed_total
    if start >= stop:
        return []
    if stop - start > 1:
        stop = min(start + _size(core, job, worker), stop)
        if job.spec.reduce and stop - start >= MERGE_BLOCK:
            stop -= stop % MERGE_BLOCK  # what is whole can be merged by its worker
    if job.states.count(_QUEUED, start, stop) != stop - start:
        stop = next(at for at in range(start, stop) if job.states[at] != _QUEUED)
    job.cursor = stop
    if mark := next_mark(core, job, stop, now):
        answer.changes.append(commit(core, job, mark))
    if job.mark_record > job.committed_record:
        answer.rests_on[job] = max(job.mark_record, answer.rests_on.get(job, -1))
    return [(start, stop)]


def _size(core: Core, job: Job, worker: Worker) -> int:
    duration = job.durations.quantile(0.9)
    if duration is None or is_suspected(job, worker):
        return 1
    limits = core.limits
    by_time = limits.bundle_seconds / duration
    by_growth = 4 * max(job.largest_done, 1)
    by_bytes = limits.bundle_bytes / job.payload_bytes
    fair = max(math.ceil(job.leasable / (2 * max(core.slots, 1))), limits.least_seconds / duration)
    return max(1, int(min(by_time, by_growth, by_bytes, fair, limits.max_bundle)))
