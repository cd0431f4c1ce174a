"""Calling conventions: ways into a function that ship with TaskGrid, for jobs whose payloads are not its arguments.

A job names one, a task process looks it up in this closed table: a name from the wire leads nowhere else.
A convention is a module of a room above, found by name since nothing down here may know it, with a function
`carried` that returns a user's function as one of the convention's own arguments and value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

from taskgrid.errors import FunctionRefused

CONVENTIONS: Final[Mapping[str, str]] = {"files": "taskgrid.files.calling"}


def called_through(convention: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what a task process calls; FunctionRefused for a convention that it doesn't know."""
    if not convention:
        return function
    if convention not in CONVENTIONS:
        raise FunctionRefused(
            f"this worker can't call a function through {convention!r}",
            why=f"It knows {', '.join(CONVENTIONS)}.",
            hint="Upgrade the worker: the job comes from a newer TaskGrid.",
        )
    carried: Callable[..., Any] = import_module(CONVENTIONS[convention]).carried(function)
    return carried
