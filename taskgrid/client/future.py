"""A standard future whose `cancel` asks the master.

It knows its task's place and who to ask; it is resolved by whoever takes it off its stream's
table, so that no two threads ever resolve one.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError, Future
from threading import Condition, RLock
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Owner(Protocol):
    """What a future asks."""

    def cancel(self, future: TaskFuture[Any]) -> bool:
        """Take the future's task back if no worker holds it; say whether it was so."""

    def address(self, index: int) -> str:
        """Return a task's address, empty before its job has a number."""


class _LightCondition(Condition):
    """A condition of three objects instead of ten.

    Each future has one, few are ever waited on, and a burst of futures is mostly paid to the garbage
    collector: this halves the price of `submit`.
    """

    _waiters: Any = ()

    def __init__(self) -> None:
        self._lock: Any = RLock()

    def acquire(self, *how: Any, **named: Any) -> bool:
        taken: bool = self._lock.acquire(*how, **named)
        return taken

    def release(self) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        if not self._waiters:
            self._waiters = deque()
        return super().wait(timeout)

    # What Condition asks of its lock, bound there at each making.

    def _is_owned(self) -> bool:
        owned: bool = self._lock._is_owned()  # noqa: SLF001  # what Condition itself asks
        return owned

    def _release_save(self) -> Any:
        return self._lock._release_save()  # noqa: SLF001  # what Condition itself asks

    def _acquire_restore(self, state: Any) -> None:
        self._lock._acquire_restore(state)  # noqa: SLF001  # what Condition itself asks


class TaskFuture(Future[T]):
    """The result of one `Grid.submit`."""

    _condition: Condition

    def __init__(self, owner: Owner, payload: bytes) -> None:
        super().__init__()
        self._condition = _LightCondition()
        self.owner = owner
        self.payload = payload
        """The arguments as one line of JSON."""
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
