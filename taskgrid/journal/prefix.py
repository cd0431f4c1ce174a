"""Cuts a job back to what a damaged journal still has of it.

Tasks whose payloads are gone leave the job, from the first of them on; it is as if its submission had
ended there. A task that ended falls back to *queued* if its newest outcome is gone, or may be. What
falls back counts as if it were still out: it is leased again when its holder had time to come back.
Nothing is made up, and nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from taskgrid.journal.soundness import unlike
from taskgrid.lifecycle import BYTE, STATE, TaskState
from taskgrid.model import Run
from taskgrid.scheduler.runs import RunSet
from taskgrid.scheduler.state import Job

_QUEUED: Final = BYTE[TaskState.QUEUED]
_RETRIABLE: Final = frozenset({BYTE[TaskState.FAILED], BYTE[TaskState.CANCELLED]})


@dataclass(frozen=True)
class Kept:
    """What is left beside a job's records."""

    chunks: int
    """Chunks from the first on, without a hole."""
    tasks: int
    """Of these chunks."""
    outcomes: int
    """Outcome rows from the first on, without a hole."""
    kinds: Sequence[int]
    """How each task ended by the newest of these rows; 0: it is in none."""


@dataclass(frozen=True)
class Cut:
    """What a job lost; its state is cut accordingly."""

    tasks: Run
    """Tasks that are gone: none if the run is empty."""
    requeued: tuple[Run, ...]
    """Tasks that had ended and are queued again."""


def cut(job: Job, kept: Kept) -> Cut:
    """Take from a job's state what is not kept; its checkpoint can be written then."""
    total = job.total
    tasks = min(kept.tasks, total)
    requeued = tuple(RunSet((index, index + 1) for index in _doubtful(job, kept, tasks)))
    for start, stop in requeued:
        job.states[start:stop] = bytes([_QUEUED]) * (stop - start)
    del job.states[tasks:]
    _cut_lines(job, tasks, total)
    job.counts = [job.states.count(state) for state in range(len(STATE))]
    job.next_ordinal, job.next_sequence = kept.chunks, kept.outcomes + 1
    job.mark = max(job.mark, tasks)  # whoever holds one of them may come back; records that said so may be gone
    job.abandoned = job.abandoned or (job.sealed and tasks < total)
    if not job.ended:
        job.ended_at = None
    return Cut((tasks, total), requeued)


def _doubtful(job: Job, kept: Kept, tasks: int) -> Iterator[int]:
    yield from unlike(job.states[:tasks], kept.kinds[:tasks])
    if job.retries and kept.outcomes + 1 < job.next_sequence:
        # What was retried ended twice, and the row that counts may be among those that are gone.
        yield from (
            index
            for index in range(tasks)
            if job.states[index] in _RETRIABLE and job.states[index] == kept.kinds[index]
        )


def _cut_lines(job: Job, tasks: int, total: int) -> None:
    job.unqueue(tasks, total)
    job.trails.erase(tasks, total)
