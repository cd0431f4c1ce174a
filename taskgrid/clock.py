"""The only place that reads a clock.

Everything else takes the time as an argument. `SystemClock.now()` is *grid time*: seconds since
the epoch as the wall clock showed them when the process started, carried on by the monotonic
clock. It never jumps while the process lives, and yet means the same before and after a restart.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Gives grid time, in seconds."""

    def now(self) -> float:
        """Return grid time in seconds since the epoch."""


class SystemClock:
    """The clock of this machine."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return grid time in seconds since the epoch."""
        return time.monotonic() + self._offset


class ManualClock:
    """A clock that moves when told to; for tests."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the instant the clock stands at."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`."""
        self._now += seconds
