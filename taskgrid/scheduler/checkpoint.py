"""A job's durable state as bytes, and what a restart makes of it.

A checkpoint is one line of JSON, the compressed state array and the compressed trails. It holds what
records say and no more: leases, durations and shares are learnt again. It is made in two steps: the
snapshot, which copies arrays and is taken where the state may not change, and its encoding.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final

from taskgrid.lifecycle import BYTE, STATE, TaskState
from taskgrid.model import Created, JobNumber, JobSpec, Record, Run, Token
from taskgrid.model.job import Model
from taskgrid.scheduler.apply import apply
from taskgrid.scheduler.marks import Marks
from taskgrid.scheduler.runs import RunSet
from taskgrid.scheduler.state import Core, Job
from taskgrid.scheduler.trails import Past, Trails, rank

_LEASED: Final = BYTE[TaskState.LEASED]
_DELAYED: Final = BYTE[TaskState.DELAYED]
_QUEUED: Final = BYTE[TaskState.QUEUED]
_QUEUED_RUNS: Final = re.compile(b"%c+" % _QUEUED)
_FACTS: Final = (
    "number",
    "spec",
    "created_at",
    "ended_at",
    "next_ordinal",
    "next_record",
    "next_sequence",
    "sealed",
    "abandoned",
    "any_code",
    "retries",
    "mark",
    "mark_record",
    "alone",
)
_LINES: Final = ("again", "singles", "isolated")


class _Trail(Model):
    """A task's trail in checkpoints of before there were columns."""

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
    alone: bool = False
    marks: tuple[tuple[int, int], ...] = ()
    again: tuple[Run, ...]
    singles: tuple[Run, ...]
    isolated: tuple[Run, ...] = ()
    away: tuple[tuple[str, tuple[Run, ...]], ...] = ()
    """Tasks that wait for a host other than the one that is named."""
    pasts: tuple[Past, ...] = ()
    columns: tuple[int, ...] = ()
    """Sizes of the columns of the trails."""
    elsewhere: tuple[tuple[int, str], ...] = ()
    """As `away`, in checkpoints of before there were columns; so are the next two."""
    delayed: tuple[tuple[float, int], ...] = ()
    trails: tuple[_Trail, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job's durable state, as of its newest record when it was taken: copies, cheap to make."""

    job: JobNumber
    next_record: int
    facts: Mapping[str, Any]
    lines: Mapping[str, RunSet]
    away: Mapping[str, RunSet]
    states: bytes
    pasts: tuple[Past, ...]
    columns: list[bytes]

    def encode(self) -> bytes:
        """Return what `load` reads; its cost grows with the job."""
        lines = {name: line.runs() for name, line in self.lines.items()}
        away = tuple((host, line.runs()) for host, line in self.away.items())
        sizes = tuple(map(len, self.columns))
        head = _Head(**self.facts, **lines, away=away, pasts=self.pasts, columns=sizes)
        # What is leased in memory is queued in the journal: whether it still is out shows after a restart.
        states = self.states.replace(bytes([_LEASED]), bytes([_QUEUED]))
        parts = [zlib.compress(part, 1) for part in (states, b"".join(self.columns))]
        return head.model_dump_json(exclude_defaults=True).encode() + b"\n" + b"".join(parts)


def snapshot(job: Job) -> Snapshot:
    """Take a job's durable state, as of its newest record."""
    facts = {name: getattr(job, name) for name in _FACTS} | {"marks": tuple(job.marks)}
    lines = {name: getattr(job, name).copy() for name in _LINES}
    for run in job.held_back:
        lines["again"].add(*run)
    away = {host: line.copy() for host, line in job.elsewhere.items()}
    return Snapshot(job.number, job.next_record, facts, lines, away, bytes(job.states), *job.trails.columns())


def dump(job: Job) -> bytes:
    """Return the job's durable state, as of its newest record, where nobody waits for that."""
    return snapshot(job).encode()


def load(body: bytes) -> Job:
    """Return the job that a snapshot told of."""
    line, _, packed = body.partition(b"\n")
    head = _Head.model_validate_json(line)
    job = _replaying(Job(head.number, head.spec, head.created_at))
    for name in _FACTS:
        setattr(job, name, getattr(head, name))
    job.alone = head.alone or head.spec.options.alone
    job.marks = Marks(head.marks)
    unpacking = zlib.decompressobj()
    job.states = bytearray(unpacking.decompress(packed))
    job.counts = [job.states.count(state) for state in range(len(STATE))]
    for name in _LINES:
        setattr(job, name, RunSet(getattr(head, name)))
    job.elsewhere = {host: RunSet(runs) for host, runs in head.away}
    if head.columns:
        columns, ends = zlib.decompress(unpacking.unused_data), [0, *accumulate(head.columns)]
        job.trails = Trails.restored(job.created_at, head.pasts, [columns[a:b] for a, b in pairwise(ends)])
    _load_old(job, head)
    return job


def _load_old(job: Job, head: _Head) -> None:
    for index, host in head.elsewhere:
        job.elsewhere.setdefault(host, RunSet()).add(index, index + 1)
    # Of a task's backoffs only the newest may not be over, and only if the task still waits.
    due = {index: at for at, index in sorted(head.delayed) if job.states[index] == _DELAYED}
    for old in head.trails:
        past = Past(old.attempts, old.errors, old.crashes, old.lost, old.alone, old.not_on, old.history)
        floor = rank(old.floor) if old.floor else 0
        job.trails.put(old.index, past, floor=floor, due_at=due.get(old.index, 0.0))


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
    if job.alone:  # what was cancelled and brought back may still run where it was
        job.held_back, job.again = job.again, RunSet()
    for found in _QUEUED_RUNS.finditer(job.states, 0, min(job.mark, job.total)):
        job.doubt.add(*found.span())
    for line in (job.again, job.held_back, job.singles, job.isolated, *job.elsewhere.values()):
        for start, stop in line.runs():
            job.doubt.remove(start, stop)
    job.client_seen = now
    job.note_position()
    job.committed(job.next_record - 1)
    job.restored_sequence = job.committed_sequence
    core.doubt_until = now + core.limits.lease
    core.add(job)


def _replaying(job: Job) -> Job:
    job.cursor = sys.maxsize  # every task may have been leased: `restore` puts it at the mark
    return job
