"""A journal as JSON Lines, for people who leave or archive: one line per job, one per task.

A job's line comes before those of its tasks, which are in order of index. A task's line has its
payload, its state, and its newest outcome: the `value` it returned, or the `failure`, or, of a job that
merges its values, what the 64 of its merge block came to (`merged`), or in which line that stands
(`merged_into`). Payloads and
values are copied as they were written, never parsed, so that NaN and infinities stay what they are.
Chunks and outcomes are each read once, in order of their tasks, and meet there: it takes no more
memory for a large journal than for a small one, beside the state of one job.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydantic_core import to_json

from taskgrid.errors import JournalError
from taskgrid.journal import rows
from taskgrid.journal.newest import Piece, merged, newest
from taskgrid.journal.place import Lock
from taskgrid.journal.protocol import OutcomeRow
from taskgrid.journal.reads import spans_in
from taskgrid.journal.snapshot import Snapshot
from taskgrid.journal.soundness import chunks_of, state_of
from taskgrid.journal.swap import refuse_unfinished
from taskgrid.journal.verify import jobs_in
from taskgrid.journal.wal import damaged, walk
from taskgrid.lifecycle import BYTE, STATE, TaskState
from taskgrid.model.outcome import FAILURE_MARK, MERGE_BLOCK, MERGED_MARK
from taskgrid.scheduler.state import Job

_TOLD: Final = frozenset({BYTE[TaskState.SUCCEEDED], BYTE[TaskState.FAILED]})
"""States in which a task has an outcome's line."""
_NAMES: Final = [state.value.encode() for state in STATE]
_NOTHING: Final = (-1, b"")
_BY_FIRST: Final = f"SELECT {rows.OUTCOME} FROM outcomes WHERE job = ? AND span = ? ORDER BY first"  # noqa: S608  # names of ours


def export(path: str | Path) -> Iterator[bytes]:
    """Yield lines of JSON, each with its newline.

    Raises JournalError: there is none, it is damaged, or a master has it (export a backup then).
    """
    place = Path(path).absolute()
    if not place.exists():
        raise JournalError(f"there is no journal at {place}")
    lock = Lock(place)
    try:
        refuse_unfinished(place)
        _refuse_damaged_log(place)
        with closing(Snapshot(place)) as snapshot, snapshot.reading() as connection:
            yield from _lines(connection)
    finally:
        lock.release()


def _refuse_damaged_log(place: Path) -> None:
    log = Path(f"{place}-wal")
    if log.exists() and (damage := walk(log).damage):
        raise damaged(place, damage)


def _lines(connection: sqlite3.Connection) -> Iterator[bytes]:
    forgotten = {job for (job,) in connection.execute("SELECT job FROM forgotten")}
    for number in jobs_in(connection):
        if number not in forgotten:
            job = state_of(connection, number)
            yield _job_line(job)
            yield from _task_lines(job, _payloads(connection, job), _outcomes(connection, job))


def _task_lines(job: Job, payloads: Iterator[bytes], outcomes: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
    """Put together what belongs to one task; an older outcome of one that was brought back is passed over."""
    number, (at, outcome) = job.number, next(outcomes, _NOTHING)
    for index, (payload, state) in enumerate(zip(payloads, job.states, strict=True)):
        told = b""
        if at == index:
            told, (at, outcome) = outcome, next(outcomes, _NOTHING)
        if state not in _TOLD:
            told = b""
        elif not told:
            raise rows.Mismatch(f"the outcome of task {number}.{index} is missing")
        facts = (number, index, _NAMES[state], payload, told)
        yield b'{"kind":"task","job":%d,"index":%d,"state":"%s","payload":%s%s}\n' % facts


def _payloads(connection: sqlite3.Connection, job: Job) -> Iterator[bytes]:
    for chunk in chunks_of(connection, job):
        yield from chunk.lines.split(b"\n")


def _outcomes(connection: sqlite3.Connection, job: Job) -> Iterator[tuple[int, bytes]]:
    """Yield each task whose newest row has a line of it, and what that says."""
    by_span = [_rows(connection, job.number, span) for span in spans_in(connection, job.number)]
    for piece in newest(merged(by_span), 0, job.total):
        if not piece.row.cancelled:
            yield from enumerate(_told(piece), piece.start)


def _rows(connection: sqlite3.Connection, job: int, span: int) -> Iterator[OutcomeRow]:
    for row in connection.execute(_BY_FIRST, (job, span)):
        yield rows.outcome_of(job, row)


def _told(piece: Piece[OutcomeRow]) -> list[bytes]:
    row = piece.row
    lines = [row.lines] if row.count == 1 else _split(row)[piece.start - row.first : piece.stop - row.first]
    return [_outcome(index, line) for index, line in enumerate(lines, piece.start)]


@lru_cache(maxsize=4)
def _split(row: OutcomeRow) -> list[bytes]:
    """Return a row's lines apart: one between whose tasks others ended again comes in pieces."""
    return row.lines.split(b"\n")


def _outcome(index: int, line: bytes) -> bytes:
    if not line:
        return b',"merged_into":%d' % (index - index % MERGE_BLOCK)
    if line.startswith(MERGED_MARK):
        return b',"merged":' + line[len(MERGED_MARK) :]
    if line.startswith(FAILURE_MARK):
        return b',"failure":' + line[len(FAILURE_MARK) :]
    return b',"value":' + line


def _job_line(job: Job) -> bytes:
    told = job.spec.model_dump(mode="json", exclude={"code": {"sources"}})
    facts = {
        "kind": "job",
        "number": job.number,
        "tasks": job.total,
        "sealed": job.sealed,
        "abandoned": job.abandoned,
        "created_at": job.created_at,
        "ended_at": job.ended_at,
    }
    return to_json(facts | told) + b"\n"
