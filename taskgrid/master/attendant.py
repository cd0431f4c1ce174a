"""The attendant: one thread that answers long polls which nobody else is about to answer.

Who commits something answers one poll itself, since that is soonest; the others, those woken by the way
and those whose time is up are the attendant's. It knows nothing of what polls wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

import structlog

_AFTER_TROUBLE = 1.0

_log = structlog.get_logger()


class Attendant:
    """Calls `attend` when nudged, and when the seconds that it returned are over."""

    def __init__(self, attend: Callable[[], float]) -> None:
        self._attend = attend
        self._nudges: SimpleQueue[None] = SimpleQueue()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="taskgrid-attendant", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, within: float) -> None:
        """End within that many seconds."""
        self._ending = True
        self._nudges.put(None)
        if self._thread.ident is not None:
            self._thread.join(within)

    def nudge(self) -> None:
        """Attend now; from any thread, under any lock."""
        self._nudges.put(None)

    def _run(self) -> None:
        while not self._ending:
            seconds = _AFTER_TROUBLE
            try:
                seconds = self._attend()
            except Exception:  # noqa: BLE001  # one request's trouble must not be everybody's
                _log.exception("polls.failed")
            with suppress(Empty):
                self._nudges.get(timeout=seconds)
                while True:
                    self._nudges.get_nowait()
