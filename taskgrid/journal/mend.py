"""Fills a new journal from the sound rows of a damaged one, job by job.

Chunks and outcomes come over first, whatever is sound of them, into tables that answer by job and
number. Then each job's records say what of that belongs to it; the rest goes again, and is named.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from taskgrid.journal import rows
from taskgrid.journal.lines import cut as cut_lines
from taskgrid.journal.prefix import Kept, cut
from taskgrid.journal.protocol import Group
from taskgrid.journal.salvage import Salvage, Story
from taskgrid.journal.soundness import note_kinds, rebuilt, unlike
from taskgrid.model import JobNumber, Run
from taskgrid.scheduler import checkpoint
from taskgrid.scheduler.state import Job

_JOBS_BEHIND: Final = 1000
"""Numbers that are tried behind the last job of which anything is sound."""
_SHOWN: Final = 20
_CHUNK: Final = "INSERT OR IGNORE INTO chunks VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"
_OUTCOME: Final = "INSERT OR IGNORE INTO outcomes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_OUTCOME_AT: Final = f"SELECT {rows.OUTCOME} FROM outcomes WHERE id = ?"  # noqa: S608  # column names of ours
_REPLACE: Final = "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class Loss:
    """What one job lost, as far as anything tells."""

    job: int
    name: str
    """Its function or what people call it; empty if that is not known any more."""
    gone: bool
    """Nothing of the job is left."""
    why: str
    records: int
    """Records from this number on are gone, unless negative."""
    tasks: Run
    """Tasks that are gone with their payloads; a greater number of them may have been accepted."""
    requeued: tuple[Run, ...]
    """Tasks that had ended, and are queued again."""

    def __str__(self) -> str:
        name = f"job {self.job} ({self.name})" if self.name else f"job {self.job}"
        return f"{name}: {'; '.join(self._sentences())} ({self.why})"

    def _sentences(self) -> Iterator[str]:
        low, high = self.tasks
        if self.gone:
            yield f"all of it, with {high:,} payloads or more" if high else "all of it"
            return
        if self.records >= 0:
            yield f"records from {self.records} on"
        if low < high:
            yield f"tasks {self.job}.{low}-{high - 1}"
        if self.requeued:
            shown = ", ".join(_selector(self.job, run) for run in self.requeued[:_SHOWN])
            more = f" and {len(self.requeued) - _SHOWN} more runs" if len(self.requeued) > _SHOWN else ""
            yield f"outcomes of {shown}{more}: queued again"


def _selector(job: int, run: Run) -> str:
    return f"{job}.{run[0]}" if run[1] == run[0] + 1 else f"{job}.{run[0]}-{run[1] - 1}"


class Mender:
    """Writes what is sound to `target`, inside the caller's transaction."""

    def __init__(self, salvage: Salvage, target: sqlite3.Connection) -> None:
        self._salvage = salvage
        self._target = target
        self._forgotten = salvage.forgotten()

    def mend(self) -> list[Loss]:
        """Write all jobs and return what they lost, in order of number."""
        self._take_over()
        return [loss for job in self._jobs() if (loss := self._job(job))]

    def _take_over(self) -> None:
        for job, chunk in self._salvage.chunks():
            self._target.execute(_CHUNK, rows.chunk_row(job, chunk))
        for job, outcome in self._salvage.outcomes():
            self._target.execute(_OUTCOME, rows.outcome_row(job, outcome))

    def _jobs(self) -> Iterator[int]:
        named = self._salvage.jobs()
        for table in ("chunks", "outcomes"):
            named.update(job for (job,) in self._target.execute(f"SELECT DISTINCT job FROM {table}"))  # noqa: S608  # names of ours
        last = max((job for job in named if self._salvage.story(job).begun), default=0)
        for job in sorted(named.union(range(last + _JOBS_BEHIND))):  # a damaged index may not name them all
            if job in self._forgotten:
                self._delete(job, chunks=0, outcomes=0)
            else:
                yield job

    def _job(self, job: int) -> Loss | None:
        state, story = _told(job, self._salvage.story(job))
        if state is None:
            return self._gone(job, story)
        accepted = max(state.total, self._tasks(job))
        chunks, tasks = self._sound_chunks(state)
        rest = self._delete(job, chunks=chunks, outcomes=self._sound_outcomes(state))
        kept = Kept(chunks, tasks, *self._clip(state, tasks))
        why = story.hole or _missing(state, kept) or rest
        if not why:
            self._copy(job, story)
            return None
        lost = cut(state, kept)
        self._write_checkpoint(state)
        return Loss(
            job=job,
            name=state.spec.name or state.spec.function,
            gone=False,
            why=why,
            records=state.next_record if story.hole else -1,
            tasks=(lost.tasks[0], accepted),
            requeued=lost.requeued,
        )

    def _gone(self, job: int, story: Story) -> Loss | None:
        tasks = self._tasks(job)
        rest = self._delete(job, chunks=0, outcomes=0)
        if not story.hole and not rest:
            return None  # a number that no row speaks of
        return Loss(job, "", True, story.hole or "nothing tells what it was", 0, (0, tasks), ())

    def _sound_chunks(self, state: Job) -> tuple[int, int]:
        """Return how many chunks there are without a hole, and of how many tasks."""
        chunks = tasks = 0
        select = "SELECT ordinal, first, count FROM chunks WHERE job = ? AND ordinal < ? ORDER BY ordinal"
        for ordinal, first, count in self._target.execute(select, (state.number, state.next_ordinal)):
            if (ordinal, first) != (chunks, tasks):
                break
            chunks, tasks = chunks + 1, tasks + count
        return chunks, tasks

    def _sound_outcomes(self, state: Job) -> int:
        """Return how many outcome rows there are without a hole."""
        sequence = 0
        select = "SELECT sequence, first + count FROM outcomes WHERE job = ? AND sequence < ? ORDER BY sequence"
        for found, stop in self._target.execute(select, (state.number, state.next_sequence)):
            if found != sequence + 1 or stop > state.total:
                break
            sequence = found
        return sequence

    def _clip(self, state: Job, tasks: int) -> tuple[int, bytearray]:
        """Take tasks from `tasks` on out of the outcome rows; return how many rows are left, and what they say."""
        kinds, number = bytearray(state.total), 0
        select = "SELECT id FROM outcomes WHERE job = ? ORDER BY sequence"
        for (place,) in self._target.execute(select, (state.number,)).fetchall():
            row = rows.outcome_of(state.number, self._target.execute(_OUTCOME_AT, (place,)).fetchone())
            left = min(row.first + row.count, tasks) - row.first
            if left <= 0:
                self._target.execute("DELETE FROM outcomes WHERE id = ?", (place,))
                continue
            number += 1
            kept = replace(
                row, sequence=number, count=left, lines=row.lines and cut_lines(row.lines, row.count, 0, left)
            )
            if kept != row:
                self._target.execute(_REPLACE, (place, *rows.outcome_row(state.number, kept)))
            note_kinds(kinds, kept)
        return number, kinds

    def _tasks(self, job: int) -> int:
        (found,) = self._target.execute("SELECT max(first + count) FROM chunks WHERE job = ?", (job,)).fetchone()
        return int(found or 0)

    def _delete(self, job: int, *, chunks: int, outcomes: int) -> str:
        """Take out chunks and outcome rows behind those that are kept, and say how many there were."""
        gone = self._target.execute("DELETE FROM chunks WHERE job = ? AND ordinal >= ?", (job, chunks)).rowcount
        ended = self._target.execute("DELETE FROM outcomes WHERE job = ? AND sequence > ?", (job, outcomes)).rowcount
        return f"no record tells of {gone} chunks and {ended} outcome rows that are there" if gone or ended else ""

    def _copy(self, job: int, story: Story) -> None:
        if story.body is not None:
            row = (job, story.first, rows.sealed(story.body, job, story.first), story.body)
            self._target.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?)", row)
        copied = rows.Rows()
        copied.add(Group(JobNumber(job), story.first, story.records))
        self._target.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", copied.records)

    def _write_checkpoint(self, state: Job) -> None:
        body = checkpoint.dump(state)
        row = (state.number, state.next_record, rows.sealed(body, state.number, state.next_record), body)
        self._target.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?)", row)


def _missing(state: Job, kept: Kept) -> str:
    if kept.tasks < state.total:
        return f"the payload of task {state.number}.{kept.tasks} is missing"
    if kept.outcomes + 1 < state.next_sequence:
        return f"outcome row {kept.outcomes + 1} is missing"
    lacking = next(unlike(state.states, kept.kinds), None)
    return "" if lacking is None else f"the outcome of task {state.number}.{lacking} is missing"


def _told(job: int, story: Story) -> tuple[Job | None, Story]:
    """Return the state that a job's records tell, and as many of them as don't contradict each other."""
    if not story.begun:
        return None, story
    try:
        return rebuilt(job, story.body, story.records), story
    except rows.Mismatch as error:
        most = bisect_left(range(len(story.records)), 1, key=lambda at: _contradicts(job, story, at + 1))
        shorter = story._replace(records=story.records[:most], hole=str(error))
        return (rebuilt(job, story.body, shorter.records) if shorter.begun else None), shorter


def _contradicts(job: int, story: Story, most: int) -> int:
    try:
        rebuilt(job, story.body, story.records[:most])
    except rows.Mismatch:
        return 1
    return 0
