"""How much work the pool has room for: told by the pool's thread, waited for by the leaser.

Work that the leaser has announced counts against the room at once, before the pool has looked at it;
or the leaser would ask for the same room twice.
"""

from __future__ import annotations

import threading


class Demand:
    """Room for works, and how many slots are idle."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._room = 0
        self._idle = 0
        self._announced = 0

    def wait(self, within: float, *, unless: threading.Event) -> tuple[int, int]:
        """Return how many works there is room for, and how many slots are idle; wait a while for any room."""
        with self._changed:
            self._changed.wait_for(lambda: self._room > 0 or unless.is_set(), within)
            return self._room, self._idle

    def nudge(self) -> None:
        """Let who waits look at its own event."""
        with self._changed:
            self._changed.notify_all()

    def announce(self, works: int) -> None:
        """Count works that are on their way to the pool."""
        with self._lock:
            self._announced += works
            self._room, self._idle = max(0, self._room - works), max(0, self._idle - works)

    def arrived(self, works: int) -> None:
        """Count works that the pool has got."""
        with self._lock:
            self._announced -= works

    def publish(self, room: int, idle: int) -> None:
        """Tell how much room there is, without what was announced."""
        if not self._announced and (room, idle) == (self._room, self._idle):
            return  # as it mostly is; what is announced in this moment comes after
        with self._lock:
            now = max(0, room - self._announced), max(0, idle - self._announced)
            if now != (self._room, self._idle):
                self._room, self._idle = now
                self._changed.notify_all()
