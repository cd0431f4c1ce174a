"""Records into state: the one way durable state changes, live and in replay alike.

What a record says is done here and nowhere else. Leases are not durable: a live command that grants
or takes back does that itself, before or after.
"""

from __future__ import annotations

import re
from typing import Final, assert_never

from taskgrid.lifecycle import BYTE, TaskEvent, TaskState
from taskgrid.model import (
    Accepted,
    Buried,
    Cancelled,
    Cause,
    Created,
    Declared,
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
from taskgrid.scheduler.change import Change
from taskgrid.scheduler.runs import RunSet, subtract
from taskgrid.scheduler.state import Core, Job
from taskgrid.scheduler.trails import Past, rank

_DELAYED: Final = BYTE[TaskState.DELAYED]
_DELAYED_RUNS: Final = re.compile(b"%c+" % _DELAYED)


def commit(core: Core, job: Job, *records: Record) -> Change:
    """Apply records and return them, numbered, for the journal."""
    change = Change(job.number, job.next_record, list(records))
    for record in records:
        apply(job, record)
    core.settle(job)
    if job.ended and job.trails:
        job.trails.drop(0, job.total)
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
            job.sealed_record = job.next_record - 1
            _end(job, record.at)
        case Reopened():
            job.sealed = job.abandoned = False
            job.ended_at = None
        case Marked():
            job.move_mark(record.mark, record.epoch)
            job.mark_record = job.next_record - 1
        case Declared():
            job.alone = True
        case Leased():
            _lease(job, record)
        case Reported():
            _report(job, record)
        case Buried():
            _fall_due(job, record.index, record.index + 1)
            _finish(job, [(record.index, record.index + 1)], TaskEvent.FAILED)
            _end(job, record.at)
        case Cancelled():
            _finish(job, record.runs, TaskEvent.CANCELLED)
            _end(job, record.at)
        case Retried():
            _retry(job, record)
        case _:
            assert_never(record)


def place(job: Job, start: int, stop: int) -> None:
    """Put queued tasks below the cursor in the lines they wait in."""
    for run, past in job.trails.pieces(start, stop):
        if past.isolated:
            job.isolated.add(*run)
        elif past.alone:
            job.singles.add(*run)
        elif past.not_on:
            job.elsewhere.setdefault(past.not_on, RunSet()).add(*run)
        else:
            job.again.add(*run)


def _lease(job: Job, record: Leased) -> None:
    for start, stop in record.runs:
        if stop > job.mark:  # the cursor may have passed it over cancelled tasks that were brought back
            job.move_mark(stop, record.token.epoch)
        job.unqueue(start, stop)
        _fall_due(job, start, stop)
        job.trails.update(
            start,
            stop,
            lambda past: past._replace(
                alone=record.alone,
                isolated=record.isolated,
                was_isolated=record.isolated,
                isolated_on=record.worker,
            ),
            floor=rank(record.token),
        )
    for index, attempts, lost in record.tries:
        job.trails.put(index, job.trails.past(index)._replace(attempts=attempts, lost=lost))


def _fall_due(job: Job, start: int, stop: int) -> None:
    """End backoffs, as replay must: no record says that one is over, but only then could this happen.

    The lease that followed may be missing, lost with its machine's power: its outcome is taken all the same.
    """
    if job.counts[_DELAYED]:
        for found in list(_DELAYED_RUNS.finditer(job.states, start, stop)):
            job.move(*found.span(), TaskEvent.DUE)


def _report(job: Job, record: Reported) -> None:
    for start, stop in record.runs:
        _fall_due(job, start, stop)
        failed = [run for run in record.failed if start <= run[0] < stop]
        _finish(job, subtract((start, stop), failed), TaskEvent.SUCCEEDED)
        _finish(job, failed, TaskEvent.FAILED)
    # `_finish` counts a row per run it is given: the report's rows are those of `runs`.
    job.next_sequence = record.first_sequence + len(record.runs)
    for again in record.again:
        _try_again(job, record, again)
    _end(job, record.at)


def _try_again(job: Job, record: Reported, again: SecondTry) -> None:
    _fall_due(job, again.index, again.index + 1)
    past = after(job.trails.past(again.index), again)
    job.trails.put(again.index, past, floor=rank(record.token.next()), due_at=again.due_at)
    job.unqueue(again.index, again.index + 1)
    if again.due_at:
        job.move(again.index, again.index + 1, TaskEvent.DEFERRED)
    else:
        job.move(again.index, again.index + 1, TaskEvent.REQUEUED)
        place(job, again.index, again.index + 1)


def after(past: Past, again: SecondTry) -> Past:
    """Return a past with one more failed attempt."""
    attempts = past.attempts + 1
    history = past.with_line(f"attempt {attempts}: {again.cause}: {again.summary}")
    if again.not_on:
        return past._replace(attempts=attempts, not_on=again.not_on, history=history)
    if again.cause in (Cause.CRASH, Cause.MEMORY):
        return past._replace(attempts=attempts, crashes=past.crashes + 1, alone=True, history=history)
    return past._replace(attempts=attempts, errors=past.errors + 1, history=history)


def _finish(job: Job, runs: list[Run] | tuple[Run, ...], event: TaskEvent) -> None:
    for start, stop in runs:
        job.move(start, stop, event)
        job.unqueue(start, stop)
        if job.trails:
            job.trails.drop(start, stop)
        job.next_sequence += 1


def _retry(job: Job, record: Retried) -> None:
    for start, stop in record.runs:
        job.move(start, stop, TaskEvent.RETRIED)
        job.again.add(start, min(stop, job.cursor))  # from the cursor on they go out as fresh ones do
        job.trails.update(start, stop, lambda past: Past(attempts=past.attempts + 1), floor=rank(record.floor))
    job.any_code = True
    job.retries += 1
    job.ended_at = None


def _end(job: Job, at: float) -> None:
    if job.ended:
        job.ended_at = at


def ended_rows(record: Reported | Cancelled) -> list[tuple[int, int, int]]:
    """Return (sequence, first, count) of the outcome rows that a record speaks of."""
    return [(record.first_sequence + at, start, stop - start) for at, (start, stop) in enumerate(record.runs)]
