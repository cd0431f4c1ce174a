"""What people do to jobs: cancel, retry, forget, and say which ones they mean."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from taskgrid.errors import Refused, UnknownJob
from taskgrid.lifecycle import BYTE, TaskState
from taskgrid.model import Cancelled, JobId, JobNumber, Record, Retried, Run, Sealed
from taskgrid.scheduler.apply import commit, ended_rows
from taskgrid.scheduler.change import Change, Row
from taskgrid.scheduler.lease import options_for
from taskgrid.scheduler.runs import RunSet, count, subtract
from taskgrid.scheduler.state import Core, Job

_BACK: Final = re.compile(b"[%c%c]+" % (BYTE[TaskState.FAILED], BYTE[TaskState.CANCELLED]))
_FAILED: Final = re.compile(b"%c+" % BYTE[TaskState.FAILED])
_CANCELLED: Final = re.compile(b"%c+" % BYTE[TaskState.CANCELLED])
_WAITING: Final = re.compile(b"[%c%c]+" % (BYTE[TaskState.QUEUED], BYTE[TaskState.DELAYED]))


@dataclass(frozen=True, slots=True)
class Choice:
    """Which jobs, and which of their tasks (none named: all)."""

    job: JobId | None = None
    number: JobNumber | None = None
    key: str | None = None
    last: bool = False
    all: bool = False
    runs: Sequence[Run] = ()
    owner: str | None = None


def choose(core: Core, choice: Choice) -> list[Job]:
    """Return the jobs a choice means; raise `UnknownJob` if it names one that isn't there."""
    if choice.all or choice.last:
        mine = [job for job in core.jobs.values() if choice.owner in (None, job.spec.owner)]
        return mine if choice.all else mine[-1:]
    found = _find(core, choice)
    if found is None:
        name = choice.number or choice.key or choice.job
        raise UnknownJob(
            f"there is no job {name}",
            why="it never was, or it was forgotten after its retention",
            hint="taskgrid jobs --everyone lists those there are",
        )
    return [found]


def cancel(core: Core, job: Job, runs: Sequence[Run], now: float, *, only_queued: bool = False) -> list[Change]:
    """Cancel tasks that have not ended; without `runs` all of them, and the job takes no more.

    `only_queued` spares what a worker holds, or may hold since before a restart.
    """
    live = _unheld(job, runs) if only_queued else _within(job, runs, None)
    change = _cancel(core, job, live, now) if live else None
    changes = [change] if change else []
    if not runs and not job.sealed:
        changes.append(commit(core, job, Sealed(at=now)))
    return changes


def retry(core: Core, job: Job, runs: Sequence[Run], now: float) -> list[Change]:
    """Bring failed and cancelled tasks back; reports of before are stale from here on."""
    back = _within(job, runs, _BACK)
    if not back:
        return []
    core.free_code(job)
    cancelled = _within(job, runs, _CANCELLED)
    change = commit(core, job, Retried(runs=tuple(back), floor=core.new_token(), at=now))
    _hold_back(core, job, cancelled, now)
    return [change]


def cancellable(job: Job, runs: Sequence[Run]) -> int:
    """Return how many tasks `cancel` would touch."""
    return count(_within(job, runs, None))


def retriable(job: Job, runs: Sequence[Run]) -> int:
    """Return how many tasks `retry` would touch."""
    return count(_within(job, runs, _BACK))


def failed_runs(job: Job) -> list[Run]:
    """Return the tasks that ended as failed."""
    return _within(job, (), _FAILED)


def forget(core: Core, job: Job) -> None:
    """Drop a job that has ended; raise `Refused` for one that has not."""
    if not job.ended:
        raise Refused(
            f"job {job.number} has not ended",
            why=f"{job.live:,} of its tasks wait or run" if job.live else "it is still open",
            hint=f"taskgrid cancel {job.number}",
        )
    core.forget(job)


def _find(core: Core, choice: Choice) -> Job | None:
    if choice.number is not None:
        return core.jobs.get(choice.number)
    if choice.job is not None:
        return core.by_id.get(choice.job)
    return core.by_key.get(choice.key or "")


def _within(job: Job, runs: Sequence[Run], pattern: re.Pattern[bytes] | None) -> list[Run]:
    # Runs of a request may overlap, and each task is moved once.
    spans = RunSet(runs) if runs else [(0, job.total)]
    if pattern is None:
        return [run for start, stop in spans for run in job.live_runs(start, min(stop, job.total))]
    return [
        found.span() for start, stop in spans for found in pattern.finditer(job.states, start, min(stop, job.total))
    ]


def _unheld(job: Job, runs: Sequence[Run]) -> list[Run]:
    waiting = _within(job, runs, _WAITING)
    return [piece for run in waiting for piece in subtract(run, job.doubt.within(*run))] if job.doubt else waiting


def _hold_back(core: Core, job: Job, cancelled: list[Run], now: float) -> None:
    """Let tasks wait that were cancelled, may still run where they were, and must not run twice at a time.

    Their holder kills them with its next beat, or when it trusts the lease no more. Only that is waited for: of two
    beats, one that was sent before the lease came may arrive last, and would say that it holds nothing.
    """
    if now >= core.held_back_until(job) or not (job.alone or job.cut_at > -math.inf):
        return
    for start, stop in cancelled:
        job.again.remove(start, min(stop, job.cursor))
        job.held_back.add(start, min(stop, job.cursor))
    core.waiting.settle(job)
    core.arm(job)


def _cancel(core: Core, job: Job, live: list[Run], now: float) -> Change:
    record = Cancelled(runs=tuple(live), first_sequence=job.next_sequence, at=now)
    for lease in list(job.leases.values()):
        covered = lease.runs.size
        for run in live:
            lease.runs.remove(*run)
        if lease.runs.size < covered and options_for(job, core.workers.get(lease.worker)).alone:
            job.cut_at = now
        if not lease.runs:
            core.drop_lease(lease)
    records: list[Record] = [record]
    change = commit(core, job, *records)
    change.rows = [Row(*row, cancelled=True) for row in ended_rows(record)]
    return change
