"""Outcome lines become values and errors.

A part without a failure is decoded in one call; which it is shows without parsing, since no JSON
value begins with the failure mark. An error stands in its task's place as an exception object: no
value that comes from JSON is one.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple, Protocol

from taskgrid.errors import TaskFailed, TaskGridError
from taskgrid.functions import exception_of
from taskgrid.model import FAILURE_MARK, JobNumber, parse_failure
from taskgrid.transport.protocol import OutcomeRun


class Codec(Protocol):
    """What turns arguments into payloads and lines into values: `Signature` or `NamedSignature`."""

    def encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the payload of one call."""

    def encode_items(self, items: list[Any], *, first: int = 0, star: bool = False) -> list[bytes]:
        """Return the payloads of items, the first of which has index `first`."""

    def decode_values(self, lines: bytes) -> list[Any]:
        """Return the values of lines without failures."""

    def decode_value(self, line: bytes) -> Any:
        """Return the value of one line."""


class Batch(NamedTuple):
    """What consecutive tasks gave, in order; only a `mixed` one may hold exception objects."""

    outcomes: list[Any]
    mixed: bool

    def first_error(self) -> int | None:
        """Return where the first exception object stands."""
        if not self.mixed:
            return None
        return next((at for at, outcome in enumerate(self.outcomes) if isinstance(outcome, BaseException)), None)


def has_failure(part: bytes) -> bool:
    """Say whether one of the lines is a failure."""
    return has(FAILURE_MARK, part)


def has(mark: bytes, part: bytes) -> bool:
    """Say whether one of the lines begins with a mark."""
    return part.startswith(mark) or b"\n" + mark in part


def decode(codec: Codec, job: JobNumber, row: OutcomeRun, part: bytes, skip: int = 0) -> Batch:
    """Return a value or an exception object for each task of `row` but the first `skip`, in order."""
    if row.cancelled:
        return Batch(
            [CancelledError(f"task {job}.{index} was cancelled") for index in _indices(row)[skip:]], mixed=True
        )
    if not has_failure(part):
        with suppress(TaskGridError, ValueError):  # one line is to blame: the slow way below finds it
            values = codec.decode_values(part)
            return Batch(values[skip:] if skip else values, mixed=False)
    lines = zip(_indices(row), part.split(b"\n"), strict=True)
    return Batch([_outcome(codec, f"{job}.{index}", line) for index, line in islice(lines, skip, None)], mixed=True)


def errors(job: JobNumber, row: OutcomeRun, part: bytes) -> list[tuple[int, BaseException]]:
    """Return index and exception of the tasks of `row` that failed; values are not decoded."""
    if row.cancelled or not has_failure(part):
        return []
    return [
        (index, exception_of(parse_failure(line), task=f"{job}.{index}"))
        for index, line in zip(_indices(row), part.split(b"\n"), strict=True)
        if line.startswith(FAILURE_MARK)
    ]


def _indices(row: OutcomeRun) -> range:
    return range(row.first, row.first + row.count)


def _outcome(codec: Codec, task: str, line: bytes) -> Any:
    if line.startswith(FAILURE_MARK):
        return exception_of(parse_failure(line), task=task)
    try:
        return codec.decode_value(line)
    except TaskGridError as error:
        return TaskFailed(f"task {task}: {error.message}", why=error.why, hint=error.hint, task=task)
    except ValueError as error:
        return TaskFailed(f"task {task}: its outcome is not JSON", why=str(error), task=task)
