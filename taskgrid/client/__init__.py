"""The client: `Grid` submits calls, maps and jobs; `Job` follows one and reads its results.

The room knows the transport and the functions' way to JSON. It knows no scheduler, journal, master
or worker: `Grid.local` starts those as programs, by their command lines. Nothing is imported until
it is asked for: the command line takes `control` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskgrid.client.control import Control
    from taskgrid.client.future import TaskFuture
    from taskgrid.client.grid import Grid
    from taskgrid.client.job import Job, Progress

__all__ = ["Control", "Grid", "Job", "Progress", "TaskFuture"]

_HOMES = {"Control": "control", "TaskFuture": "future", "Grid": "grid", "Job": "job", "Progress": "job"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'taskgrid.client' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # nothing before it is asked for

    return getattr(import_module(f"taskgrid.client.{_HOMES[name]}"), name)
