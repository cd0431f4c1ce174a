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


Tell = Callable[[Outcome, bool], Any]
"""Hears of an outcome, and whether another one follows."""


class Deferred:
    """Settled once; `then` may be called before that or after, once too. Before it is settled it may `give` answers."""

    __slots__ = ("_lock", "_tell", "outcome")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self._tell: Tell | None = None
        self._lock = threading.Lock()

    def then(self, tell: Tell) -> None:
        """Have the outcome told: now if it is there, else by whoever settles this."""
        with self._lock:
            self._tell = tell
            outcome = self.outcome
        if outcome is not None:
            tell(outcome, False)

    def give(self, answer: Answer) -> bool:
        """Tell an answer that is not the last; False if nobody listens yet."""
        if self._tell is None:
            return False
        self._tell(answer, True)
        return True

    def settle(self, outcome: Outcome) -> None:
        """Say what came of it."""
        with self._lock:
            self.outcome = outcome
            tell = self._tell
        if tell is not None:
            tell(outcome, False)
