"""Report: which outcomes are taken, and what follows from a failure.

Each reported run is judged in pieces. Tasks that the lease still covers are taken: what was taken
away (cancelled, expired) is no longer covered. For others the lease ended; they are taken if they
wait in the queue again and no later lease, failed attempt or retry lifted their floor. A merged value
stands for all tasks of its block: if one of them can't be taken, none is, and its worker gives back the rest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from taskgrid.lifecycle import BYTE, ENDED, STATE, TaskState
from taskgrid.model import Cause, JobNumber, Reported, Run, SecondTry, Token, Verdict, WorkerId
from taskgrid.scheduler.apply import commit, ended_rows
from taskgrid.scheduler.change import Change, Row
from taskgrid.scheduler.lease import options_for, other_host
from taskgrid.scheduler.runs import RunSet, as_runs, count, subtract
from taskgrid.scheduler.state import Core, Job, Lease, Worker
from taskgrid.scheduler.trails import rank

_ENDED = frozenset(BYTE[state] for state in ENDED)
_CANCELLED = BYTE[TaskState.CANCELLED]
_QUEUED = BYTE[TaskState.QUEUED]
_ENOUGH = 2
"""Of two workers on which tasks succeed, one is another than the one that is asked about."""
_ELSEWHERE = frozenset(
    f"builtins.{name}" for name in ("FileNotFoundError", "PermissionError", "ImportError", "ModuleNotFoundError")
)


_Verdicts = list[tuple[Run, Verdict | None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """A failed attempt, as far as the decision needs it."""

    cause: Cause
    type: str = ""
    summary: str = ""


class Outcomes(NamedTuple):
    """A report without its lines."""

    token: Token
    number: int
    job: JobNumber
    runs: Sequence[Run]
    faults: Mapping[int, Fault]
    seconds: float = 0.0
    durations: Sequence[tuple[int, int]] = ()
    whole: Sequence[Run] = ()
    """Runs of which each is taken whole or not at all."""


@dataclass(slots=True)
class Judgement:
    """How a report was judged; runs whose tasks have ended are for the journal to tell by token."""

    verdicts: _Verdicts = field(default_factory=list)
    """None: the task has ended; `YOURS` if its outcome carries this token, else `STALE`."""
    change: Change | None = None


def report(core: Core, worker_id: WorkerId, outcomes: Outcomes, now: float) -> Judgement:
    """Judge a report and take what can be taken."""
    job = core.jobs.get(outcomes.job)
    worker = core.workers.get(worker_id)
    if worker:
        worker.seen_at = now
        worker.under_way.pop(outcomes.token, None)
    if job is None or not core.known_token(outcomes.token):
        return Judgement([(run, Verdict.STALE) for run in outcomes.runs])
    judgement = Judgement()
    lease = core.leases.get(outcomes.token)
    for start, stop in outcomes.runs:
        judgement.verdicts += _judge(job, lease, outcomes.token, start, stop)
    if outcomes.whole:
        judgement.verdicts = _without_broken(judgement.verdicts, outcomes.whole)
    taken = [run for run, verdict in judgement.verdicts if verdict is Verdict.TAKEN]
    job.refused += count([run for run, verdict in judgement.verdicts if verdict is Verdict.STALE])
    if taken:
        judgement.change = _take(core, job, worker, outcomes, taken, now=now)
        _uncover(core, lease, taken)
        _learn(job, worker, outcomes, count(taken))
    return judgement


def _judge(job: Job, lease: Lease | None, token: Token, start: int, stop: int) -> _Verdicts:
    covered = lease.runs.within(start, stop) if lease and lease.job == job.number else []
    if covered == [(start, stop)]:
        return [(covered[0], Verdict.TAKEN)]
    verdicts: _Verdicts = [(run, Verdict.TAKEN) for run in covered]
    for low, high in subtract((start, stop), covered):
        for verdict, indices in groupby(range(low, high), lambda index: _verdict(job, token, index)):
            verdicts += [(run, verdict) for run in as_runs(indices)]
    return verdicts


def _without_broken(verdicts: _Verdicts, whole: Sequence[Run]) -> _Verdicts:
    """Take nothing of a run that is to be taken whole, in one row, and can't be; its worker gives back what it has."""
    taken = [run for run, verdict in verdicts if verdict is Verdict.TAKEN]
    starts = [start for start, _ in taken]
    broken = RunSet(run for run in whole if not _is_within(run, taken, starts))
    if not broken:
        return verdicts
    judged: _Verdicts = []
    for run, verdict in verdicts:
        lost = broken.within(*run) if verdict is Verdict.TAKEN else []
        judged += [(piece, verdict) for piece in subtract(run, lost)]
        judged += [(piece, Verdict.BROKEN) for piece in lost]
    return judged


def _is_within(run: Run, pieces: Sequence[Run], starts: Sequence[int]) -> bool:
    at = bisect_right(starts, run[0]) - 1
    return at >= 0 and run[1] <= pieces[at][1]


def _verdict(job: Job, token: Token, index: int) -> Verdict | None:
    if index >= job.total or index >= max(job.cursor, job.mark):
        return Verdict.STALE
    state = job.states[index]
    if state == _CANCELLED:
        return Verdict.CANCELLED
    if state in _ENDED:
        return None
    if state != _QUEUED or rank(token) < job.floor(index):
        return Verdict.STALE
    return Verdict.TAKEN


def _take(core: Core, job: Job, worker: Worker | None, outcomes: Outcomes, taken: list[Run], *, now: float) -> Change:
    again: list[SecondTry] = []
    failed: list[int] = []
    if outcomes.faults:
        for index in sorted(index for start, stop in taken for index in range(start, stop) if index in outcomes.faults):
            second = _second_try(core, job, worker, index, outcomes.faults[index], now=now)
            if second:
                again.append(second)
            else:
                failed.append(index)
    ended = taken
    if again:
        holes = as_runs(second.index for second in again)
        ended = [piece for run in taken for piece in subtract(run, [h for h in holes if run[0] <= h[0] < run[1]])]
    record = Reported(
        token=outcomes.token,
        number=outcomes.number,
        runs=tuple(ended),
        failed=tuple(_cut_at(as_runs(failed), ended)),
        first_sequence=job.next_sequence,
        again=tuple(again),
        at=now,
    )
    change = commit(core, job, record)
    change.rows = [Row(*row) for row in ended_rows(record)]
    if again:
        core.arm(job)
    return change


def _cut_at(failed: list[Run], ended: list[Run]) -> list[Run]:
    """Cut runs of failed tasks so that none crosses a border between two ended runs."""
    if len(ended) == 1 or not failed:
        return failed
    return [
        (max(low, start), min(high, stop))
        for start, stop in ended
        for low, high in failed
        if low < stop and start < high
    ]


def _second_try(
    core: Core, job: Job, worker: Worker | None, index: int, fault: Fault, *, now: float
) -> SecondTry | None:
    """Decide on another attempt: each cause has its own count."""
    past = job.trails.past(index)
    options = options_for(job, worker)
    again = SecondTry(index=index, cause=fault.cause, due_at=0.0, summary=fault.summary[:200])
    match fault.cause:
        case Cause.ERROR:
            if fault.type in _ELSEWHERE and not past.not_on and worker and other_host(core, job, worker.host):
                return again.model_copy(update={"not_on": worker.host})
            if past.errors + 1 < options.max_attempts:
                return again.model_copy(update={"due_at": now + options.backoff.delay(past.errors + 1)})
        case Cause.CRASH | Cause.MEMORY:
            if past.crashes + 1 < core.limits.crashes:
                return again
        case _:
            pass  # the same arguments would do the same again
    return None


def _uncover(core: Core, lease: Lease | None, taken: list[Run]) -> None:
    if lease is None:
        return
    for start, stop in taken:
        lease.runs.remove(start, stop)
    if not lease.runs:
        core.drop_lease(lease)


def _learn(job: Job, worker: Worker | None, outcomes: Outcomes, taken: int) -> None:
    """Learn from what was taken: durations, shares, and whether this worker is to be suspected."""
    job.durations.add(outcomes.durations)
    job.largest_done = max(job.largest_done, taken)
    job.usage += outcomes.seconds
    job.owner.usage += outcomes.seconds
    if worker is None:
        return
    worker.done += taken
    if len(outcomes.faults) < taken:
        worker.streaks.pop(job.number, None)
        if len(job.succeeded_on) < _ENOUGH:
            job.succeeded_on.add(worker.id)
    elif not job.ended:
        worker.streaks[job.number] = worker.streaks.get(job.number, 0) + taken


def state_of(job: Job, index: int) -> TaskState:
    """Return a task's state."""
    return STATE[job.states[index]]
