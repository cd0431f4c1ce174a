"""Submit: jobs are opened, chunks accepted in order, jobs sealed.

A chunk is (job, ordinal, payloads). A gap is refused, a repeat is the journal's to answer, the next
one is accepted. An open job lives by its client's beat; when that is away for the job's grace, it is
sealed at what was accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from taskgrid.errors import Busy, ChunkRefused, UnknownJob, UsageError
from taskgrid.model import Accepted, Created, JobId, JobSpec, Marked, Record, Reopened, Sealed
from taskgrid.scheduler.apply import commit
from taskgrid.scheduler.change import Change
from taskgrid.scheduler.state import Core, Job
from taskgrid.settings import how_to_raise

_FASTEST_STEP = 1 << 16
_SLOWEST_STEP = 16


@dataclass(frozen=True, slots=True)
class Chunk:
    """A submit message without its bytes."""

    job: JobId
    ordinal: int
    count: int
    size: int
    """Bytes of its payloads."""
    seal: bool
    spec: JobSpec | None


class Submitted(NamedTuple):
    """What became of a chunk: new (`change` holds it), or a repeat that the journal must confirm."""

    job: Job
    first: int
    change: Change | None
    repeat: bool = False


def submit(core: Core, chunk: Chunk, now: float) -> Submitted:
    """Accept a chunk; raise `ChunkRefused`, `UnknownJob` or `Busy`."""
    job = core.by_id.get(chunk.job)
    if job is None:
        if twin := _twin(core, chunk):
            _check_reduction(chunk, twin)
            return Submitted(twin, 0, None)
        return _open(core, chunk, now)
    job.client_seen = now
    if chunk.ordinal < job.next_ordinal:
        return Submitted(job, 0, None, repeat=True)
    if chunk.ordinal > job.next_ordinal:
        raise ChunkRefused(
            f"chunk {chunk.ordinal} of job {job.number} leaves a gap",
            why=f"the next one is {job.next_ordinal}",
            hint="submit the chunks of a job in order",
            expected=job.next_ordinal,
        )
    if job.sealed and not (job.abandoned and job.spec.key):
        raise _sealed(job)
    _check_room(core, chunk.count)
    opening: list[Record] = [Reopened(at=now)] if job.sealed else []
    return _accept(core, job, chunk, opening, now)


def keep(core: Core, jobs: tuple[JobId, ...], now: float) -> list[JobId]:
    """Hear a client's beat; return the jobs that are not open any more."""
    closed = []
    for identity in jobs:
        job = core.by_id.get(identity)
        if job is None or job.sealed:
            closed.append(identity)
        else:
            job.client_seen = now
    return closed


def seal_abandoned(core: Core, job: Job, now: float) -> Change | None:
    """Seal an open job whose client was away for its grace."""
    if job.sealed or now - job.client_seen <= job.spec.client_grace.total_seconds():
        return None
    return commit(core, job, Sealed(abandoned=True, at=now))


def next_mark(core: Core, job: Job, cursor: int, now: float) -> Marked | None:
    """Return the mark to write before the cursor moves to `cursor`; None if it is far enough ahead.

    Its step adapts to how fast leases move the cursor, not to how fast chunks come: what is below the
    mark is in doubt after a crash.
    """
    if not _is_short(job, cursor, job.total):
        return None
    if now - job.marked_at < 0.1:
        job.mark_step = min(job.mark_step * 2, _FASTEST_STEP)
    elif now - job.marked_at > 1.0:
        job.mark_step = max(job.mark_step // 2, _SLOWEST_STEP)
    job.marked_at = now
    return Marked(mark=min(job.total, cursor + job.mark_step), epoch=core.epoch.number)


def _is_short(job: Job, cursor: int, total: int) -> bool:
    """Say whether the mark is not far enough ahead of the cursor, for a job of `total` tasks."""
    return job.mark < total and job.mark - cursor < job.mark_step // 2


def lowered_mark(core: Core, job: Job) -> Change | None:
    """Put the mark back to the cursor, when nothing will be leased any more in this epoch; None if it is there."""
    if job.mark <= job.cursor:
        return None
    return commit(core, job, Marked(mark=job.cursor, epoch=core.epoch.number))


def _twin(core: Core, chunk: Chunk) -> Job | None:
    key = chunk.spec.key if chunk.spec else None
    return core.by_key.get(key) if key else None


def _check_reduction(chunk: Chunk, twin: Job) -> None:
    """Refuse what would be read otherwise than its values were merged."""
    if chunk.spec is not None and chunk.spec.reduce != twin.spec.reduce:
        known = f"by {twin.spec.reduce.how}" if twin.spec.reduce else "by nothing"
        raise ChunkRefused(
            f"job {twin.number} has the key {twin.spec.key!r}, and merges its values otherwise: {known}",
            why="the function that merges is another one here, or its code has changed since",
            hint="submit under another key, or cancel and forget that job first",
        )


def _open(core: Core, chunk: Chunk, now: float) -> Submitted:
    if chunk.spec is None or chunk.ordinal:
        raise UnknownJob(
            "there is no such job", why="it was forgotten, or its first chunk never came", hint="submit it anew"
        )
    if chunk.spec.id != chunk.job:
        raise UsageError("a chunk and its job's description name different jobs")
    if len(core.jobs) >= core.limits.max_jobs:
        raise Busy(
            f"the master keeps {core.limits.max_jobs} jobs, and takes no more",
            why="finished jobs are kept until their retention ends",
            hint=f"`taskgrid forget all`, or {how_to_raise('max_jobs')}",
            setting="max_jobs",
        )
    _check_room(core, chunk.count)
    job = Job(core.next_number, chunk.spec, now)
    core.add(job)
    return _accept(core, job, chunk, [Created(number=job.number, spec=job.spec, at=now)], now)


def _accept(core: Core, job: Job, chunk: Chunk, opening: list[Record], now: float) -> Submitted:
    first = job.total
    records: list[Record] = [*opening, Accepted(ordinal=chunk.ordinal, first=first, count=chunk.count)]
    if chunk.seal:
        records.append(Sealed(at=now))
    # The mark goes with the chunk while the backlog is short, so that its tasks need no second commit.
    total = first + chunk.count
    if _is_short(job, job.cursor, total):
        records.append(Marked(mark=min(total, job.cursor + job.mark_step), epoch=core.epoch.number))
    job.payload_bytes = max(job.payload_bytes, chunk.size / max(chunk.count, 1))
    change = commit(core, job, *records)
    if opening:
        core.arm(job)
    return Submitted(job, first, change)


def _check_room(core: Core, count: int) -> None:
    if core.queued + count > core.limits.max_queued:
        raise Busy(
            f"the master holds {core.queued:,} tasks that have not ended, and takes no more",
            why=f"its limit is {core.limits.max_queued:,}",
            hint=f"wait, or {how_to_raise('max_queued')}",
            setting="max_queued",
        )


def _sealed(job: Job) -> ChunkRefused:
    why = "its client was away for too long" if job.abandoned else "its client sealed it"
    return ChunkRefused(f"job {job.number} takes no more tasks", why=why, hint="submit a new job", sealed=True)
