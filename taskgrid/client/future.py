"""A standard future whose `cancel` asks the master.

It knows its task's place and who to ask; it is resolved by whoever takes it off its stream's
table, so that no two threads ever resolve one.
"""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Owner(Protocol):
    """What a future asks."""

    def cancel(self, future: TaskFuture[Any]) -> bool:
        """Take the future's task back if no worker holds it; say whether it was so."""

    def address(self, index: int) -> str:
        """Return a task's address, empty before its job has a number."""


class TaskFuture(Future[T]):
    """The result of one `Grid.submit`."""

    def __init__(self, owner: Owner) -> None:
        super().__init__()
        self.owner = owner
        self.index: int | None = None
        """The task's index in its job, once it is numbered."""

    @property
    def task(self) -> str:
        """The task's address, as `17.42`; empty before it was accepted."""
        return "" if self.index is None else self.owner.address(self.index)

    def cancel(self) -> bool:
        """Take the task back if no worker holds it: True only then. Asks the master, so it takes a round trip."""
        if self.done():
            return self.cancelled()
        return self.owner.cancel(self)

    def end_cancelled(self) -> None:
        """Resolve as cancelled, for good."""
        if super().cancel():
            self.set_running_or_notify_cancel()

    def resolve(self, outcome: Any) -> None:
        """Resolve with a value, or with an exception object."""
        if isinstance(outcome, BaseException):
            self._resolve_error(outcome)
        else:
            self.set_result(outcome)

    def _resolve_error(self, error: BaseException) -> None:
        if isinstance(error, CancelledError):
            self.end_cancelled()
        else:
            self.set_exception(error)
