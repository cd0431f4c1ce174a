"""Isolation: a worker to itself for a task that lost its worker among others, so that the next loss tells.

Who kills a worker is seen by nobody: not by the master, and not by the worker's last beat, since a killer may
begin after it and end before the next. So what was lost once is leased singly; what was lost singly then, with
others beside it or waiting behind it, is leased in isolation: to a worker that holds nothing, gets nothing else
meanwhile, and is the only one of its host that does so. The loss of that worker, and no other, is charged. The
record of the lease says that it was in isolation, and where, so that a loss which only a restart finds counts the
same: one whose worker comes to the new master, and does not have it, was not lost.

What a worker holds it says with its beats. After a restart of the master, or when a lease of it ran out, it may
hold what the master knows nothing of: until its next beat it gets nothing at all. A beat counts if it can't have left
before an answer arrived with a lease that ran out meanwhile: if it names that, or the worker has reported on it, or
asks once more for that answer, or a lease's time has gone by.

A worker that holds nothing takes such a task when its job's turn comes. Where none does, one worker at a time is
cleared: it gets nothing until it holds nothing. While more than one worker is there, at least half go on as usual.
"""

from __future__ import annotations

from taskgrid.scheduler.state import Core, Job, Worker


def gets_nothing(core: Core, worker: Worker) -> bool:
    """Say whether a worker holds a task that is to be alone there, or is cleared for one and holds something still."""
    if core.isolated and not core.isolated.isdisjoint(worker.leases):
        return True
    return bool(core.clearing and worker.leases) and _cleared(core) is worker


def may_begin(core: Core, job: Job, worker: Worker) -> bool:
    """Say whether a worker may have a task of this job in isolation now; it may come to be cleared for it."""
    if len(core.isolated) >= max(1, core.present // 2) or worker.host in _hosts(core):
        return False
    if worker.leases and _cleared(core) is None:
        core.clearing = (worker.id, job.number)
    return not worker.leases


def cleared_for(core: Core, worker: Worker) -> Job | None:
    """Return the job that a worker was cleared for, once it holds nothing; None for any other worker."""
    if core.clearing is None or worker.leases or _cleared(core) is not worker:
        return None
    (_, number), core.clearing = core.clearing, None
    return core.jobs[number]


def _cleared(core: Core) -> Worker | None:
    """Return the worker that is being cleared, as long as there is a use for that."""
    if core.clearing is None:
        return None
    worker, job = core.workers.get(core.clearing[0]), core.jobs.get(core.clearing[1])
    if worker and job and job.isolated and worker.lost_at is None and not worker.draining:
        return worker
    core.clearing = None
    return None


def _hosts(core: Core) -> set[str]:
    """Return the hosts of which a worker has a task to itself: what kills one of them may kill all its workers."""
    holders = (core.workers.get(core.leases[token].worker) for token in core.isolated)
    return {holder.host for holder in holders if holder}
