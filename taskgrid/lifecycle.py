"""THE state table of a task: code, docs and tests read it, nothing else decides a state.

A guard (in `scheduler/`) chooses the *event*; this table chooses the state. An event that has no
entry for a state is illegal there, and a refused event changes nothing.

Tasks are kept as one byte each, so events apply to whole runs of tasks at once: `advance` moves a
slice of a `bytearray` through a 256-byte translation table made from `TRANSITIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class TaskState(StrEnum):
    """Where a task stands; each value completes the sentence "the task is ..."."""

    QUEUED = "queued"  # waiting for a worker; leaves by a lease, a cancel, or a late report
    DELAYED = "delayed"  # due later, after a failed attempt; leaves when due, or by a cancel
    LEASED = "leased"  # one worker holds it until the lease ends
    SUCCEEDED = "succeeded"  # a value is committed; nothing leads out
    FAILED = "failed"  # the dead letter: kept and explained until an operator's retry
    CANCELLED = "cancelled"  # taken back; an operator's retry brings it back


class TaskEvent(StrEnum):
    """What can happen to a task."""

    GRANTED = "granted"  # a worker got it under a lease
    RELEASED = "released"  # given back before it began: costs no attempt
    EXPIRED = "expired"  # its lease ended without a report, or its worker was lost
    REQUEUED = "requeued"  # an attempt failed, another may start at once
    DEFERRED = "deferred"  # an attempt failed, another may start after a backoff
    DUE = "due"  # the backoff is over
    SUCCEEDED = "succeeded"  # an attempt's value was taken
    FAILED = "failed"  # an attempt failed and none is left
    CANCELLED = "cancelled"  # the owner or an operator took it back
    RETRIED = "retried"  # an operator brings it back


S = TaskState
E = TaskEvent

TRANSITIONS: Final[Mapping[tuple[TaskState, TaskEvent], TaskState]] = {
    (S.QUEUED, E.GRANTED): S.LEASED,
    (S.QUEUED, E.CANCELLED): S.CANCELLED,
    # A lease that ended keeps its right to report until the task is leased again.
    (S.QUEUED, E.SUCCEEDED): S.SUCCEEDED,
    (S.QUEUED, E.FAILED): S.FAILED,
    (S.QUEUED, E.REQUEUED): S.QUEUED,
    (S.QUEUED, E.DEFERRED): S.DELAYED,
    (S.DELAYED, E.DUE): S.QUEUED,
    (S.DELAYED, E.CANCELLED): S.CANCELLED,
    (S.LEASED, E.RELEASED): S.QUEUED,
    (S.LEASED, E.EXPIRED): S.QUEUED,
    (S.LEASED, E.REQUEUED): S.QUEUED,
    (S.LEASED, E.DEFERRED): S.DELAYED,
    (S.LEASED, E.SUCCEEDED): S.SUCCEEDED,
    (S.LEASED, E.FAILED): S.FAILED,
    (S.LEASED, E.CANCELLED): S.CANCELLED,
    (S.FAILED, E.RETRIED): S.QUEUED,
    (S.CANCELLED, E.RETRIED): S.QUEUED,
}

ENDED: Final[frozenset[TaskState]] = frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED})

BYTE: Final[Mapping[TaskState, int]] = {state: index for index, state in enumerate(TaskState)}
"""The byte that stands for each state in a job's state array and in its checkpoint."""

STATE: Final[tuple[TaskState, ...]] = tuple(TaskState)
"""The state that a byte stands for: the inverse of `BYTE`."""

_ILLEGAL: Final = 0xFF


def _translation(event: TaskEvent) -> bytes:
    table = bytearray([_ILLEGAL]) * 256
    for (state, when), target in TRANSITIONS.items():
        if when is event:
            table[BYTE[state]] = BYTE[target]
    return bytes(table)


_TABLES: Final = {event: _translation(event) for event in TaskEvent}


class IllegalTransition(ValueError):
    """The event has no meaning in the state of at least one task of the run."""


def advance(states: bytearray, start: int, stop: int, event: TaskEvent) -> None:
    """Apply `event` to the tasks `start` up to and without `stop`.

    Raises `IllegalTransition`, and changes nothing, if the table has no entry for one of them.
    """
    moved = states[start:stop].translate(_TABLES[event])
    if _ILLEGAL in moved:
        at = start + moved.index(_ILLEGAL)
        raise IllegalTransition(f"task {at} is {STATE[states[at]]}: {event} has no meaning there")
    states[start:stop] = moved


def allows(state: int, event: TaskEvent) -> bool:
    """Say whether the table has an entry for `event` in the state that this byte stands for."""
    return _TABLES[event][state] != _ILLEGAL
