"""How a command says that it failed: one line of what, one of why, one of what to run next.

The lines go to stderr, never a traceback; with `-o json` an error object goes to stdout, since then
a program reads it. The exit status is the error's own. What is not a `TaskGridError` is a defect of
TaskGrid: it is named as such, and `TASKGRID_TRACEBACK=1` shows where.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from itertools import pairwise

from taskgrid.cli.terminal import paint, say
from taskgrid.errors import TaskGridError, UsageError

INTERRUPTED = 130


def fail(error: TaskGridError, *, as_json: bool) -> int:
    """Tell of the error and return the exit status."""
    if as_json:
        sys.stdout.write(json.dumps({"error": error_object(error)}) + "\n")
    else:
        say(f"{paint('error:', 'red')} {error.message}")
        if error.why:
            say(f"  why:  {error.why}")
        if error.hint:
            say(f"  next: {error.hint}")
    return error.exit_status


def error_object(error: TaskGridError) -> dict[str, object]:
    """Return the error as programs read it."""
    return {
        "code": error.code,
        "message": error.message,
        "why": error.why,
        "hint": error.hint,
        "exit_status": error.exit_status,
    }


def wants_json(arguments: Sequence[str]) -> bool:
    """Say whether `-o json` was asked for; read from the bare words, since parsing them may have failed."""
    words = list(arguments)
    joined = {"-ojson", "-o=json", "--output=json"}
    pairs = pairwise(words)
    return any(word in joined for word in words) or any(
        flag in {"-o", "--output"} and form == "json" for flag, form in pairs
    )


def explained(error: Exception) -> TaskGridError:
    """Return what people are told of any exception."""
    if isinstance(error, TaskGridError):
        return error
    if os.environ.get("TASKGRID_TRACEBACK"):
        raise error
    if isinstance(error, OSError) and error.filename:
        return UsageError(f"{error.filename}: {error.strerror}", hint="Check the path and its permissions")
    return TaskGridError(
        f"TaskGrid stumbled: {type(error).__name__}: {error}",
        why="This is a defect of TaskGrid, not of your call",
        hint="Run it again with TASKGRID_TRACEBACK=1 and report what it shows",
    )
