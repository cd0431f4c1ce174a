"""How an attempt ended: a value, or a failure with its cause.

Outcomes travel and are kept as lines, one per task. A value's line is its JSON. A failure's line
is `!` and a JSON object: no JSON value begins with `!`, so nobody has to parse a line to tell. Of the
tasks of a merge block whose values their worker merged, the first one's line is `+` and the JSON of
the merged value, and the others' are empty.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from taskgrid.model.job import Model

FAILURE_MARK: Final = b"!"
MERGED_MARK: Final = b"+"
MERGE_BLOCK: Final = 64
"""Tasks whose values are merged with each other first: those whose indices begin at a multiple of it."""


class Cause(StrEnum):
    """Why an attempt failed; each has its own count of attempts."""

    ERROR = "error"  # the function raised
    BAD_ARGUMENTS = "bad-arguments"  # the payload does not fit the signature: the function was never entered
    BAD_RESULT = "bad-result"  # the value does not fit the return annotation, is not JSON, or is too large
    TIME_LIMIT = "time-limit"  # killed at its time limit
    MEMORY = "memory"  # killed at its memory limit, or by the kernel for memory
    CRASH = "crash"  # its process exited or was killed by a signal
    LOST_WORKER = "lost-worker"  # its worker went away while it held nothing else


class Verdict(StrEnum):
    """What became of a reported task; after any but `LATER` and `BROKEN` its worker forgets it."""

    TAKEN = "taken"
    YOURS = "yours"  # already committed under this token
    STALE = "stale"  # superseded: ended otherwise, or leased to another
    CANCELLED = "cancelled"
    BROKEN = "broken"  # of a merged value that can't be taken for all its tasks: its worker gives them back
    LATER = "later"  # the journal is full: keep it and report again


class Failure(Model):
    """What is known of a failed attempt."""

    cause: Cause
    type: str = ""
    """Qualified name of the exception's class, as `builtins.ValueError`; empty if there was none."""
    message: str = ""
    traceback: str = ""
    exit_code: int | None = None
    signal: str = ""
    """Name of the signal that ended the process, as `SIGSEGV`."""
    peak_memory: int | None = None
    """Bytes: the most the task's process had resident."""
    output: str = ""
    """The last lines the task's process printed."""
    worker: str = ""
    """Name of the worker that ran it."""
    attempt: int = 1
    seconds: float | None = None

    @property
    def summary(self) -> str:
        """One line for a person."""
        name = self.type.removeprefix("builtins.")
        first = self.message.splitlines()[0] if self.message else ""
        return f"{name}: {first}" if name and first else name or first or self.cause.value


TOO_LARGE: Final = "taskgrid.errors.TooLarge"
"""Type of the failure of a task whose value is over its worker's limit."""


def failure_line(failure: Failure) -> bytes:
    """Return the outcome line of a failure."""
    return FAILURE_MARK + failure.model_dump_json(exclude_defaults=True).encode()


def parse_failure(line: bytes) -> Failure:
    """Return the failure that a line beginning with `FAILURE_MARK` holds."""
    return Failure.model_validate_json(line[len(FAILURE_MARK) :])
