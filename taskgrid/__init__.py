"""TaskGrid: run a Python function over many small inputs on many machines.

Nothing is imported until it is asked for, so that `import taskgrid` costs milliseconds in a worker's
task processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskgrid.client import Job
    from taskgrid.functions import current_task, task
    from taskgrid.grid import Grid

__version__ = "0.1.0"
__all__ = ["Grid", "Job", "__version__", "current_task", "task"]

_HOMES = {
    "Grid": "taskgrid.grid",
    "Job": "taskgrid.client",
    "current_task": "taskgrid.functions",
    "task": "taskgrid.functions",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'taskgrid' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # see above: nothing before it is asked for

    return getattr(import_module(_HOMES[name]), name)
