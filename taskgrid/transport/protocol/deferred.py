"""An answer that comes later, from whatever thread has it: how a long poll holds none.

A future of the standard library does more, and costs more than all else that is done for a small request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from taskgrid.transport.protocol.frame import Answer

Outcome = Answer | Exception
"""An answer, or why there is none."""


class Deferred:
    """Settled once; `then` may be called before that or after, once too."""

    __slots__ = ("_lock", "_tell", "outcome")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self._tell: Callable[[Outcome], Any] | None = None
        self._lock = threading.Lock()

    def then(self, tell: Callable[[Outcome], Any]) -> None:
        """Have the outcome told: now if it is there, else by whoever settles this."""
        with self._lock:
            self._tell = tell
            outcome = self.outcome
        if outcome is not None:
            tell(outcome)

    def settle(self, outcome: Outcome) -> None:
        """Say what came of it."""
        with self._lock:
            self.outcome = outcome
            tell = self._tell
        if tell is not None:
            tell(outcome)
