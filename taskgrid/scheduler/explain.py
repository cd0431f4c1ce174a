"""Why a job or a task is not running, or how it ended: a reason a person can read."""

from __future__ import annotations

from datetime import UTC, datetime

from taskgrid.lifecycle import TaskState
from taskgrid.model import CodeVersion, Explanation, Reason, TaskView
from taskgrid.scheduler.lease import has_code, is_suspected
from taskgrid.scheduler.sight import sees, why_unseen
from taskgrid.scheduler.state import Core, Job, Worker
from taskgrid.scheduler.view import job_view, task_view

STUCK = frozenset({Reason.NO_WORKER, Reason.NOT_OFFERED, Reason.OTHER_CODE, Reason.NOT_SEEN})
"""Reasons that only a person can do away with."""

_Finding = tuple[Reason, str, str, str]


def explain(core: Core, job: Job, index: int | None, now: float, *, journal_full: bool = False) -> Explanation:
    """Give the reason for what a job or one of its tasks does or doesn't do now."""
    task = task_view(core, job, index) if index is not None else None
    reason, what, why, hint = _find(core, job, task, now, journal_full=journal_full)
    return Explanation(reason=reason, what=what, why=why, hint=hint, job=job_view(job), task=task)


def _find(core: Core, job: Job, task: TaskView | None, now: float, *, journal_full: bool) -> _Finding:
    if task and task.state in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED):
        return _task_ended(job, task)
    if job.ended:
        return _job_ended(job)
    if journal_full:
        return Reason.JOURNAL_FULL, "the master's disk is full", "reports wait at the workers", "free space on it"
    if (task and task.state is TaskState.LEASED) or (not task and job.counts[2]):
        return _running(core, job, task)
    if task and task.state is TaskState.DELAYED:
        return _delayed(task.due_at or now)
    if not job.live:
        return Reason.OPEN_EMPTY, f"job {job.number} is open and has no task left", "its client may add more", ""
    return _waiting(core, job, task, now)


def _task_ended(job: Job, task: TaskView) -> _Finding:
    address = f"{job.number}.{task.index}"
    hint = {
        TaskState.FAILED: f"taskgrid results {job.number} --failed",
        TaskState.CANCELLED: f"taskgrid retry {address}",
    }
    return Reason.ENDED, f"task {address} is {task.state}", "", hint.get(task.state, "")


def _job_ended(job: Job) -> _Finding:
    _, _, _, succeeded, failed, cancelled = job.counts
    why = f"{succeeded:,} succeeded, {failed:,} failed, {cancelled:,} cancelled"
    if job.abandoned:
        why += "; its client went away before it was sealed, so it may lack tasks"
    return (
        Reason.ENDED,
        f"job {job.number} is complete",
        why,
        f"taskgrid results {job.number} --failed" if failed else "",
    )


def _running(core: Core, job: Job, task: TaskView | None) -> _Finding:
    if task:
        return Reason.RUNNING, f"task {job.number}.{task.index} is leased", f"worker {task.worker or '?'} has it", ""
    names = sorted({core.workers[lease.worker].name for lease in job.leases.values() if lease.worker in core.workers})
    blind = [worker for worker in core.connected() if has_code(worker, job.kind) and not sees(worker, job.kind)]
    without = f"; {why_unseen(blind[0], job.kind)}" if blind else ""
    why = f"to {', '.join(names[:5])}{without}"
    return Reason.RUNNING, f"{job.counts[2]:,} tasks of job {job.number} are leased", why, ""


def _delayed(due_at: float) -> _Finding:
    at = datetime.fromtimestamp(due_at, UTC).strftime("%H:%M:%S UTC")
    return Reason.DELAYED, f"it waits until {at}", "an attempt failed; this is the backoff before the next", ""


def _waiting(core: Core, job: Job, task: TaskView | None, now: float) -> _Finding:
    workers = list(core.connected())
    if not workers:
        return (
            Reason.NO_WORKER,
            "no worker is connected",
            _last_seen(core, now),
            "taskgrid worker --server HOST, on this machine or another",
        )
    function = job.spec.function
    offering = [worker for worker in workers if function in worker.offers or "*" in worker.offers]
    if not offering:
        return _not_offered(function, workers)
    matching = [worker for worker in offering if has_code(worker, job.kind)]
    if not matching:
        return _other_code(job, offering[0])
    blind = [worker for worker in matching if not sees(worker, job.kind)]
    if len(blind) == len(matching):
        return _not_seen(job, blind)
    if job.doubt and (task is None or task.index in job.doubt):
        left = max(0.0, core.doubt_ends_at(job) - now)
        why = "the master was restarted, and a worker may still hold it"
        return Reason.IN_DOUBT, f"it waits {left:.0f} s for the worker that had it", why, ""
    if job.held_back and (task.index in job.held_back if task else not job.leasable):
        left = max(0.0, core.held_back_until(job) - now)
        why = "a worker may still run it, and it must not run twice at a time"
        return Reason.IN_DOUBT, f"it waits {left:.0f} s for the worker that had it", why, ""
    if task and task.index in job.isolated:
        why = "workers that had it were lost, and others were there: the next loss shall tell whose doing it was"
        return Reason.SLOTS_BUSY, "it waits for a worker to itself", why, ""
    if job.counts[1] and not job.leasable:
        return _delayed(job.trails.next_due())
    return _busy(core, job, [worker for worker in matching if worker not in blind])


def _last_seen(core: Core, now: float) -> str:
    lost = [worker for worker in core.workers.values() if worker.lost_at is not None]
    if not lost:
        return "none has come since the master started"
    last = max(lost, key=lambda worker: worker.lost_at or 0.0)
    return f"{last.name} was lost {now - (last.lost_at or now):.0f} s ago"


def _not_offered(function: str, workers: list[Worker]) -> _Finding:
    offered = sorted({name for worker in workers for name in worker.offers})
    shown = ", ".join(offered[:8]) + (", ..." if len(offered) > 8 else "")
    return (
        Reason.NOT_OFFERED,
        f"no worker offers {function}",
        f"offered: {shown or 'nothing'}",
        f"start workers with --functions {function.partition(':')[0]}",
    )


def _not_seen(job: Job, blind: list[Worker]) -> _Finding:
    others = f"; {len(blind) - 1} more workers see it neither" if len(blind) > 1 else ""
    return (
        Reason.NOT_SEEN,
        f"no worker sees what job {job.number} reads",
        why_unseen(blind[0], job.kind) + others,
        "let a worker see it: mounted under the same path, not empty, and within its --root if it has one",
    )


def _other_code(job: Job, worker: Worker) -> _Finding:
    return (
        Reason.OTHER_CODE,
        f"workers have other code for {job.spec.function}",
        _difference(job.spec.code, worker.offers.get(job.spec.function, CodeVersion()), worker.host),
        f"copy the file to where {worker.name} runs, or taskgrid retry {job.number} once the job has failed",
    )


def _difference(mine: CodeVersion, theirs: CodeVersion, host: str) -> str:
    differing = [
        name for name in sorted({*mine.sources, *theirs.sources}) if mine.sources.get(name) != theirs.sources.get(name)
    ]
    if not differing:
        return f"version {mine.version or '?'} was submitted, {host} has {theirs.version or '?'}"
    name = differing[0]
    return f"{name} differs: submitted {mine.sources.get(name, 'none')}, on {host} {theirs.sources.get(name, 'none')}"


def _busy(core: Core, job: Job, workers: list[Worker]) -> _Finding:
    suspected = [worker.name for worker in workers if is_suspected(job, worker)]
    if suspected and len(suspected) == len(workers):
        return Reason.SLOTS_BUSY, f"every attempt fails on {suspected[0]}", "it gets one task at a time", ""
    slots = sum(worker.slots for worker in workers)
    others = sorted({core.jobs[lease.job].number for worker in workers for lease in worker.leases.values()})
    why = f"jobs {', '.join(map(str, others[:5]))} hold them" if others else "the next request takes it"
    return Reason.SLOTS_BUSY, f"all {slots} slots that may run it are busy", why, "start more workers, or wait"
