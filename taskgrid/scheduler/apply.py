"""Records into state: the one way durable state changes, live and in replay alike.

What a record says is done here and nowhere else. Leases are not durable: a live command that grants
or takes back does that itself, before or after.
"""

from __future__ import annotations

import heapq
import re
from typing import Final, assert_never

from taskgrid.lifecycle import BYTE, TaskEvent, TaskState
from taskgrid.model import (
    Accepted,
    Buried,
    Cancelled,
    Cause,
    Created,
    Leased,
    Marked,
    Record,
    Reopened,
    Reported,
    Retried,
    Run,
    Sealed,
    SecondTry,
)
from taskgrid.scheduler.runs import RunSet, count, subtract
from taskgrid.scheduler.state import Change, Core, Job, Trail

_DELAYED: Final = BYTE[TaskState.DELAYED]
_DELAYED_RUNS: Final = re.compile(b"%c+" % _DELAYED)


def commit(core: Core, job: Job, *records: Record) -> Change:
    """Apply records and return them, numbered, for the journal."""
    change = Change(job.number, job.next_record, list(records))
    for record in records:
        apply(job, record)
    core.settle(job)
    if job.ended and job.trails:
        job.trails = {index: trail for index, trail in job.trails.items() if trail.history}
    job.note_position()
    return change


def apply(job: Job, record: Record) -> None:  # noqa: C901  # one case per kind of record, and no logic
    """Do what one record says."""
    job.next_record += 1
    match record:
        case Created():
            pass  # the job itself
        case Accepted():
            job.states.extend(bytes(record.count))
            job.counts[0] += record.count
            job.next_ordinal = record.ordinal + 1
        case Sealed():
            job.sealed, job.abandoned = True, record.abandoned
            _end(job, record.at)
        case Reopened():
            job.sealed = job.abandoned = False
            job.ended_at = None
        case Marked():
            job.mark = record.mark
            job.mark_record = job.next_record - 1
        case Leased():
            _lease(job, record)
        case Reported():
            _report(job, record)
        case Buried():
            _finish(job, [(record.index, record.index + 1)], TaskEvent.FAILED)
            _end(job, record.at)
        case Cancelled():
            _finish(job, record.runs, TaskEvent.CANCELLED)
            _end(job, record.at)
        case Retried():
            _retry(job, record)
        case _:
            assert_never(record)


def place(job: Job, index: int, trail: Trail | None) -> None:
    """Put a queued task below the cursor in the line it waits in."""
    if trail and trail.not_on and not trail.alone:
        job.elsewhere[index] = trail.not_on
    elif trail and trail.alone:
        job.singles.add(index, index + 1)
    else:
        job.again.add(index, index + 1)


def _lease(job: Job, record: Leased) -> None:
    for start, stop in record.runs:
        job.unqueue(start, stop)
        if job.counts[_DELAYED]:
            _fall_due(job, start, stop)
        for index in range(start, stop):
            trail = job.trail(index)
            trail.floor, trail.alone = record.token, record.alone
    for index, attempts, lost in record.tries:
        trail = job.trail(index)
        trail.attempts, trail.lost = attempts, lost


def _fall_due(job: Job, start: int, stop: int) -> None:
    """End backoffs, as replay must: no record says that one is over, but only then was the task leased."""
    for found in list(_DELAYED_RUNS.finditer(job.states, start, stop)):
        job.move(*found.span(), TaskEvent.DUE)


def _report(job: Job, record: Reported) -> None:
    for start, stop in record.runs:
        failed = [run for run in record.failed if start <= run[0] < stop]
        _finish(job, subtract((start, stop), failed), TaskEvent.SUCCEEDED)
        _finish(job, failed, TaskEvent.FAILED)
    # `_finish` counts a row per run it is given: the report's rows are those of `runs`.
    job.next_sequence = record.first_sequence + len(record.runs)
    for again in record.again:
        _try_again(job, record, again)
    _end(job, record.at)


def _try_again(job: Job, record: Reported, again: SecondTry) -> None:
    trail = job.trail(again.index)
    trail.floor = record.token.next()
    trail.attempts += 1
    trail.history.append(f"attempt {trail.attempts}: {again.cause}: {again.summary}")
    if again.not_on:
        trail.not_on = again.not_on
    elif again.cause in (Cause.CRASH, Cause.MEMORY):
        trail.crashes += 1
        trail.alone = True
    else:
        trail.errors += 1
    job.unqueue(again.index, again.index + 1)
    if again.due_at:
        job.move(again.index, again.index + 1, TaskEvent.DEFERRED)
        heapq.heappush(job.delayed, (again.due_at, again.index))
    else:
        job.move(again.index, again.index + 1, TaskEvent.REQUEUED)
        place(job, again.index, trail)


def _finish(job: Job, runs: list[Run] | tuple[Run, ...], event: TaskEvent) -> None:
    for start, stop in runs:
        job.move(start, stop, event)
        job.unqueue(start, stop)
        if job.trails:
            _forget_trails(job, start, stop)
        job.next_sequence += 1


def _forget_trails(job: Job, start: int, stop: int) -> None:
    ended = range(start, stop) if stop - start < len(job.trails) else [i for i in job.trails if start <= i < stop]
    for index in ended:
        trail = job.trails.get(index)
        if trail and not trail.history:
            del job.trails[index]


def _retry(job: Job, record: Retried) -> None:
    for start, stop in record.runs:
        job.move(start, stop, TaskEvent.RETRIED)
        job.again.add(start, min(stop, job.cursor))  # from the cursor on they go out as fresh ones do
        for index in range(start, stop):
            before = job.trails.get(index)
            job.trails[index] = Trail(floor=record.floor, attempts=(before.attempts if before else 0) + 1)
    if job.delayed:
        _forget_delays(job, record.runs)
    job.any_code = True
    job.retries += 1
    job.ended_at = None


def _forget_delays(job: Job, runs: tuple[Run, ...]) -> None:
    """Drop backoffs of before a cancel: else they would end the task's next backoff early."""
    fresh = RunSet(runs)
    job.delayed = [entry for entry in job.delayed if entry[1] not in fresh]
    heapq.heapify(job.delayed)


def _end(job: Job, at: float) -> None:
    if job.ended:
        job.ended_at = at


def ended_rows(record: Reported | Cancelled) -> list[tuple[int, int, int]]:
    """Return (sequence, first, count) of the outcome rows that a record speaks of."""
    return [(record.first_sequence + at, start, count([(start, stop)])) for at, (start, stop) in enumerate(record.runs)]
