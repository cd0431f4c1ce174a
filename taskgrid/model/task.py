"""What a task is, as the function that runs it may see it."""

from __future__ import annotations

from datetime import datetime

from taskgrid.model.ids import JobNumber
from taskgrid.model.job import Model


class Descriptor(Model):
    """The running task: `taskgrid.current_task()` makes one when asked for."""

    job: JobNumber
    index: int
    attempt: int
    """Which execution of the task this is, from 1."""
    deadline: datetime | None
    """When its time limit ends it, in UTC; None without a limit."""
    function: str
    payload: str
    """The arguments as one line of JSON: an array by position, an object by name."""

    @property
    def address(self) -> str:
        """The task's address, as `17.42`."""
        return f"{self.job}.{self.index}"
