"""A job's durable state as bytes, and what a restart makes of it.

A checkpoint is one line of JSON and the compressed state array. It holds what records say and no
more: leases, durations and shares are learnt again.
"""

from __future__ import annotations

import heapq
import re
import sys
import zlib
from collections.abc import Iterable
from typing import Final

from taskgrid.lifecycle import BYTE, STATE, TaskState
from taskgrid.model import Created, JobNumber, JobSpec, Record, Run, Token
from taskgrid.model.job import Model
from taskgrid.scheduler.apply import apply
from taskgrid.scheduler.runs import RunSet
from taskgrid.scheduler.state import Core, Job, Trail

_LEASED: Final = BYTE[TaskState.LEASED]
_DELAYED: Final = BYTE[TaskState.DELAYED]
_QUEUED: Final = BYTE[TaskState.QUEUED]
_QUEUED_RUNS: Final = re.compile(b"%c+" % _QUEUED)


class _Trail(Model):
    index: int
    floor: Token | None = None
    attempts: int = 0
    errors: int = 0
    crashes: int = 0
    lost: int = 0
    alone: bool = False
    not_on: str = ""
    history: tuple[str, ...] = ()


class _Head(Model):
    number: JobNumber
    spec: JobSpec
    created_at: float
    ended_at: float | None
    next_ordinal: int
    next_record: int
    next_sequence: int
    sealed: bool
    abandoned: bool
    any_code: bool
    retries: int = 0
    mark: int
    mark_record: int
    again: tuple[Run, ...]
    singles: tuple[Run, ...]
    elsewhere: tuple[tuple[int, str], ...]
    delayed: tuple[tuple[float, int], ...]
    trails: tuple[_Trail, ...]


def dump(job: Job) -> bytes:
    """Return the job's durable state, as of its newest record."""
    head = _Head(
        number=job.number,
        spec=job.spec,
        created_at=job.created_at,
        ended_at=job.ended_at,
        next_ordinal=job.next_ordinal,
        next_record=job.next_record,
        next_sequence=job.next_sequence,
        sealed=job.sealed,
        abandoned=job.abandoned,
        any_code=job.any_code,
        retries=job.retries,
        mark=job.mark,
        mark_record=job.mark_record,
        again=job.again.runs(),
        singles=job.singles.runs(),
        elsewhere=tuple(job.elsewhere.items()),
        delayed=tuple(job.delayed),
        trails=tuple(_dump_trail(index, trail) for index, trail in job.trails.items()),
    )
    # What is leased in memory is queued in the journal: whether it still is out shows after a restart.
    states = job.states.replace(bytes([_LEASED]), bytes([_QUEUED]))
    return head.model_dump_json(exclude_defaults=True).encode() + b"\n" + zlib.compress(states, 1)


def load(body: bytes) -> Job:
    """Return the job that `dump` wrote."""
    line, _, packed = body.partition(b"\n")
    head = _Head.model_validate_json(line)
    job = _replaying(Job(head.number, head.spec, head.created_at))
    job.states = bytearray(zlib.decompress(packed))
    job.counts = [job.states.count(state) for state in range(len(STATE))]
    job.ended_at, job.sealed, job.abandoned = head.ended_at, head.sealed, head.abandoned
    job.next_ordinal, job.next_record, job.next_sequence = head.next_ordinal, head.next_record, head.next_sequence
    job.any_code, job.retries = head.any_code, head.retries
    job.mark, job.mark_record = head.mark, head.mark_record
    job.again, job.singles, job.elsewhere = RunSet(head.again), RunSet(head.singles), dict(head.elsewhere)
    job.delayed = list(head.delayed)
    heapq.heapify(job.delayed)
    job.trails = {trail.index: _load_trail(trail) for trail in head.trails}
    return job


def replay(checkpoint: bytes | None, records: Iterable[Record]) -> Job | None:
    """Return a job from its checkpoint and the records after it; None if there are neither."""
    job = load(checkpoint) if checkpoint else None
    for record in records:
        if job is None:
            if not isinstance(record, Created):
                raise ValueError(f"a job's first record is {record.kind}, not created")
            job = _replaying(Job(record.number, record.spec, record.at))
        apply(job, record)
    return job


def restore(core: Core, job: Job, now: float) -> None:
    """Take a replayed job in: tasks below the mark that may still be held wait for their holders."""
    job.cursor = job.mark
    job.again.remove(job.mark, job.total)
    for found in _QUEUED_RUNS.finditer(job.states, 0, min(job.mark, job.total)):
        job.doubt.add(*found.span())
    for line in (job.again, job.singles):
        for start, stop in line.runs():
            job.doubt.remove(start, stop)
    for index in job.elsewhere:
        job.doubt.remove(index, index + 1)
    _keep_newest_delays(job)
    job.client_seen = now
    job.note_position()
    job.committed(job.next_record - 1)
    job.restored_sequence = job.committed_sequence
    core.doubt_until = now + core.limits.lease
    core.add(job)


def _keep_newest_delays(job: Job) -> None:
    """Drop backoffs that were over when their tasks were leased again: replay met only their beginnings."""
    newest: dict[int, float] = {}
    for due_at, index in job.delayed:
        newest[index] = max(due_at, newest.get(index, due_at))
    job.delayed = [(due_at, index) for index, due_at in newest.items() if job.states[index] == _DELAYED]
    heapq.heapify(job.delayed)


def _replaying(job: Job) -> Job:
    job.cursor = sys.maxsize  # every task may have been leased: `restore` puts it at the mark
    return job


def _dump_trail(index: int, trail: Trail) -> _Trail:
    return _Trail(
        index=index,
        floor=trail.floor,
        attempts=trail.attempts,
        errors=trail.errors,
        crashes=trail.crashes,
        lost=trail.lost,
        alone=trail.alone,
        not_on=trail.not_on,
        history=tuple(trail.history),
    )


def _load_trail(stored: _Trail) -> Trail:
    return Trail(
        floor=stored.floor,
        attempts=stored.attempts,
        errors=stored.errors,
        crashes=stored.crashes,
        lost=stored.lost,
        alone=stored.alone,
        not_on=stored.not_on,
        history=list(stored.history),
    )
