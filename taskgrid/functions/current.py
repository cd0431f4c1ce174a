"""What a running function may ask about itself.

The task process fills one cheap slot before each call; the descriptor is made when somebody asks.
A process runs one task at a time, so there is one slot, and a function's own threads see it too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from taskgrid.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from taskgrid.model.task import Descriptor

Current = tuple[int, int, int, float | None, str, bytes]
"""(job number, index, attempt, deadline in grid time or None, function, payload line)."""

SLOT: Final[list[Current | None]] = [None]
"""`SLOT[0]` is the running task; a hot loop may write it directly."""


class Lease(NamedTuple):
    """Under which lease this process works, and for whom."""

    token: str = ""
    """As text; empty unless the tasks' job names a calling convention."""
    worker: str = ""
    """The worker's name."""


LEASE: Final = [Lease()]
"""`LEASE[0]` is what a calling convention may know of the lease."""

LEFT: Final[list[tuple[Path, Path]]] = []
"""(temporary, target) of each file that the task which just ended left to be published."""


def set_lease(token: str, worker: str) -> None:
    """Say under which lease the next tasks run."""
    LEASE[0] = Lease(token, worker)


def set_current(current: Current | None) -> None:
    """Say which task this process runs now, or None: between two tasks."""
    SLOT[0] = current


def current_task() -> Descriptor:
    """Return the descriptor of the task that is running; UsageError outside of one."""
    current = SLOT[0]
    if current is None:
        raise UsageError("no task is running here", hint="Call current_task() from the function that runs as a task.")
    from taskgrid.model.ids import JobNumber  # noqa: PLC0415  # pydantic, only when asked for
    from taskgrid.model.task import Descriptor  # noqa: PLC0415  # likewise

    job, index, attempt, deadline, function, line = current
    return Descriptor(
        job=JobNumber(job),
        index=index,
        attempt=attempt,
        deadline=None if deadline is None else datetime.fromtimestamp(deadline, UTC),
        function=function,
        payload=line.decode(),
    )
