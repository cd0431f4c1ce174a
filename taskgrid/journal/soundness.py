"""What a job's records say must lie beside them, and whether it does.

A row's checksum tells that it was written so; whether a row is missing at the end shows only when
the records are played: so many chunks, so many outcome rows, an outcome for each task that ended.
The one place of this room that knows what records mean; it asks the scheduler, and decides nothing.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from taskgrid.journal import rows
from taskgrid.journal.protocol import ChunkRow, OutcomeRow
from taskgrid.lifecycle import BYTE, ENDED, TaskState
from taskgrid.model import Record
from taskgrid.model.outcome import FAILURE_MARK
from taskgrid.scheduler import checkpoint
from taskgrid.scheduler.state import Job

_ENDED: Final = bytes(BYTE[state] for state in ENDED)
_KINDS: Final = bytes(range(256)).translate(bytes(each if each in _ENDED else 0 for each in range(256)))
_NONSENSE: Final = (ValueError, TypeError, LookupError, zlib.error)
_CHECKPOINT: Final = "SELECT n, crc, body FROM checkpoints WHERE job = ?"
_RECORDS: Final = "SELECT n, body, crc FROM records WHERE job = ? AND n >= ? ORDER BY n"
_CHUNKS: Final = f"SELECT {rows.CHUNK} FROM chunks WHERE job = ? ORDER BY ordinal"  # noqa: S608  # column names of ours
_OUTCOMES: Final = f"SELECT {rows.OUTCOME} FROM outcomes WHERE job = ? ORDER BY sequence"  # noqa: S608  # likewise


class Held(NamedTuple):
    """What the rows of a job amount to."""

    records: int
    chunks: int
    tasks: int
    outcomes: int
    """Rows, of which each holds the outcomes of one or more tasks."""


def rebuilt(job: int, body: bytes | None, records: Iterable[Record]) -> Job:
    """Return the state that a checkpoint and the records after it tell; Mismatch if they tell none."""
    try:
        found = checkpoint.replay(body, records)
    except _NONSENSE as error:
        raise rows.Mismatch(f"the records of job {job} contradict each other: {error}") from error
    if found is None or found.number != job:
        raise rows.Mismatch(f"nothing tells what job {job} is")
    return found


def checkpoint_of(connection: sqlite3.Connection, job: int) -> tuple[int, bytes | None]:
    """Return the number of the first record to play, and the state before it."""
    row = connection.execute(_CHECKPOINT, (job,)).fetchone()
    if row is None:
        return 0, None
    number, crc, body = row
    if crc != rows.sealed(body, job, number):
        raise rows.Mismatch(f"the checkpoint of job {job} does not fit its checksum")
    return number, body


def state_of(connection: sqlite3.Connection, job: int) -> Job:
    """Return a job's state as its rows tell it; raises one of UNREADABLE."""
    number, body = checkpoint_of(connection, job)
    return rebuilt(job, body, records_from(connection, job, number))


def records_from(connection: sqlite3.Connection, job: int, number: int) -> Iterator[Record]:
    """Yield a job's records from a number on; raises one of UNREADABLE at the first that is wrong."""
    return rows.records_of(job, number, connection.execute(_RECORDS, (job, number)))


def check(connection: sqlite3.Connection, job: int) -> Held:
    """Go through all rows of a job; raises one of UNREADABLE at the first thing that is wrong."""
    state = state_of(connection, job)
    chunks = sum(1 for _ in chunks_of(connection, state))
    outcomes = check_outcomes(connection, state)
    return Held(state.next_record, chunks, state.total, outcomes)


def chunks_of(connection: sqlite3.Connection, state: Job) -> Iterator[ChunkRow]:
    """Yield a job's chunks; raises one of UNREADABLE at the first that is wrong or missing."""
    task = 0
    for ordinal, row in enumerate(connection.execute(_CHUNKS, (state.number,))):
        chunk = rows.chunk_of(state.number, row)
        if (chunk.ordinal, chunk.first) != (ordinal, task):
            raise rows.Mismatch(f"the payload of task {state.number}.{task} is missing")
        task += chunk.count
        if task > state.total:
            raise rows.Mismatch(f"no record of job {state.number} speaks of its tasks from {state.total} on")
        yield chunk
    if task < state.total:
        raise rows.Mismatch(f"the payload of task {state.number}.{task} is missing")


def check_outcomes(connection: sqlite3.Connection, state: Job) -> int:
    """Count a job's outcome rows; Mismatch where one is missing, or a task ended without."""
    kinds, sequence = bytearray(state.total), 0
    for sequence, row in enumerate(connection.execute(_OUTCOMES, (state.number,)), 1):
        outcome = rows.outcome_of(state.number, row)
        if outcome.sequence != sequence:
            raise rows.Mismatch(f"outcome row {sequence} of job {state.number} is missing")
        note_kinds(kinds, outcome)
    if sequence + 1 < state.next_sequence:
        raise rows.Mismatch(f"outcome row {sequence + 1} of job {state.number} is missing")
    if sequence + 1 > state.next_sequence:
        raise rows.Mismatch(f"no record of job {state.number} speaks of its outcome row {state.next_sequence}")
    lacking = next(unlike(state.states, kinds), None)
    if lacking is not None:
        raise rows.Mismatch(f"the outcome of task {state.number}.{lacking} is missing")
    return sequence


def note_kinds(kinds: bytearray, outcome: OutcomeRow) -> None:
    """Note how the tasks of a row ended; 0 stands for a task that did not."""
    stop = outcome.first + outcome.count
    if stop > len(kinds):
        raise rows.Mismatch(f"outcome row {outcome.sequence} is about tasks that were never accepted")
    told = _kinds_in(outcome)
    if len(told) != outcome.count:
        raise rows.Mismatch(f"outcome row {outcome.sequence} has another number of lines than of tasks")
    kinds[outcome.first : stop] = told


def _kinds_in(outcome: OutcomeRow) -> bytes:
    if outcome.cancelled:
        return bytes([BYTE[TaskState.CANCELLED]]) * outcome.count
    if not outcome.lines.startswith(FAILURE_MARK) and b"\n" + FAILURE_MARK not in outcome.lines:
        return bytes([BYTE[TaskState.SUCCEEDED]]) * outcome.count
    return bytes(map(_kind, outcome.lines.split(b"\n")))


def _kind(line: bytes) -> int:
    return BYTE[TaskState.FAILED if line.startswith(FAILURE_MARK) else TaskState.SUCCEEDED]


def unlike(states: Sequence[int], kinds: Sequence[int]) -> Iterator[int]:
    """Yield the tasks that have ended, and not as their newest outcome says."""
    if bytes(states).translate(_KINDS) == bytes(kinds):
        return
    for index, (state, kind) in enumerate(zip(states, kinds, strict=True)):
        if state in _ENDED and state != kind:
            yield index
