"""Meters: for each limit how much of it is in use, and how often it was reached since this start.

Whoever guards a limit names it by its setting and says here when it was reached; `status` shows all
of them. What a limit means, and who is refused, is the guard's business.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from taskgrid.errors import TaskGridError
from taskgrid.model import LimitView


class _Watched(NamedTuple):
    most: int | None
    used: Callable[[], int] | None
    reached: Callable[[], int] | None


class Meters:
    """The meters of one master. Safe to call from any thread."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self._reached: Counter[str] = Counter()
        self._lock = threading.Lock()

    def watch(
        self,
        setting: str,
        most: int | None = None,
        used: Callable[[], int] | None = None,
        reached: Callable[[], int] | None = None,
    ) -> None:
        """Show a limit from now on; without `reached` its guard tells each time."""
        self._watched[setting] = _Watched(most, used, reached)

    def reached(self, setting: str, times: int = 1) -> None:
        """Hear that a limit was reached."""
        with self._lock:
            self._reached[setting] += times

    def refused(self, error: TaskGridError) -> None:
        """Count the limit that an error names, if it names one."""
        if setting := error.fields.get("setting"):
            self.reached(setting)

    def show(self) -> tuple[LimitView, ...]:
        """Show all limits."""
        return tuple(
            LimitView(
                setting=setting,
                most=one.most,
                used=one.used() if one.used else None,
                reached=one.reached() if one.reached else self._reached[setting],
            )
            for setting, one in self._watched.items()
        )
