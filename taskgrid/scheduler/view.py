"""What the state looks like from outside: only what is committed."""

from __future__ import annotations

from taskgrid.lifecycle import STATE, TaskState
from taskgrid.model import JobView, TaskView, WorkerView
from taskgrid.scheduler.lease import is_suspected
from taskgrid.scheduler.state import Core, Job, Worker


def is_complete(job: Job) -> bool:
    """Say whether the job has ended, and every outcome of it is committed.

    It has not once a task is brought back, committed or not: who reads by index would stop there, and be told
    that there is no more.
    """
    return job.ended and job.committed_ended and job.committed_sequence == job.next_sequence - 1


def job_view(job: Job) -> JobView:
    """Show a job."""
    ended = is_complete(job)
    sealed = job.sealed and job.sealed_record <= job.committed_record
    return JobView(
        id=job.id,
        number=job.number,
        function=job.spec.function,
        name=job.spec.name or job.spec.function.partition(":")[2],
        owner=job.spec.owner,
        key=job.spec.key,
        options=job.spec.options,
        reduce=job.spec.reduce.how if job.spec.reduce else "",
        created_at=job.created_at,
        ended_at=job.ended_at if ended else None,
        sealed=sealed,
        abandoned=sealed and job.abandoned,
        complete=ended,
        counts=counts(job),
        total=sum(job.committed_counts),
        sequence=job.committed_sequence,
        refused_reports=job.refused,
        task_seconds=job.durations.quantile(0.9),
    )


def counts(job: Job) -> dict[TaskState, int]:
    """Count tasks by state: which have ended as committed, and where the others stand as of now."""
    queued, delayed, leased, *ended = job.committed_counts
    live = queued + delayed + leased
    leased = min(job.counts[2], live)
    delayed = min(job.counts[1], live - leased)
    shown = (live - leased - delayed, delayed, leased, *ended)
    return {state: number for state, number in zip(STATE, shown, strict=True) if number}


def worker_view(core: Core, worker: Worker) -> WorkerView:
    """Show a worker."""
    holds: dict[int, tuple[tuple[int, int], ...]] = dict(worker.held_when_lost)
    for lease in worker.leases.values():
        holds[lease.job] = holds.get(lease.job, ()) + lease.runs.runs()
    return WorkerView(
        id=worker.id,
        name=worker.name,
        host=worker.host,
        slots=worker.slots,
        pid=worker.pid,
        version=worker.version,
        python=worker.python,
        functions=tuple(sorted(worker.offers)),
        connected=worker.lost_at is None,
        seen_at=worker.seen_at,
        since=worker.since,
        lost_at=worker.lost_at,
        holds=holds,
        draining=worker.draining,
        suspected=tuple(
            number for number in worker.streaks if (job := core.jobs.get(number)) and is_suspected(job, worker)
        ),
        done=worker.done,
    )


def task_view(core: Core, job: Job, index: int) -> TaskView:
    """Show a task."""
    state = STATE[job.states[index]]
    past = job.trails.past(index)
    holder = job.holder(index) if state is TaskState.LEASED else None
    begun = state is not TaskState.QUEUED and state is not TaskState.DELAYED
    return TaskView(
        job=job.number,
        index=index,
        state=state,
        attempts=past.attempts + begun,
        due_at=job.trails.due_at(index),
        worker=core.workers[holder.worker].name if holder and holder.worker in core.workers else "",
        history=past.history,
    )
