"""What a worker sees of the folders that jobs read: it looks when the master asks, and remembers what it saw.

What counts as seen, `taskgrid.disks` says. A look may hang, as on a dead network disk; so each is made by a
thread of its own, and until it returns the folder is not seen, and not looked at again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final

from taskgrid.disks import why_unseen

_MOST: Final = 256
"""Folders remembered; beyond, those that were looked at first go."""
_AT_ONCE: Final = 16
"""Looks under way; what is asked beyond is asked again."""


class Places:
    """The folders that this worker was asked about; safe to use from any thread."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        """`on_change` is called, from another thread, whenever something is seen otherwise than before."""
        self._on_change = on_change
        self._lock = threading.Lock()
        self._seen: dict[str, str] = {}
        self._looking: set[str] = set()

    def seen(self) -> dict[str, str]:
        """Return the folders looked at, each with why it is not seen; empty if it is."""
        with self._lock:
            return dict(self._seen)

    def look(self, places: Collection[str]) -> None:
        """Look at folders, without waiting for what is found."""
        with self._lock:
            news = [place for place in places if place not in self._looking][: _AT_ONCE - len(self._looking)]
            self._looking.update(news)
        for place in news:
            try:
                threading.Thread(target=self._look, args=(place,), name="look", daemon=True).start()
            except RuntimeError:  # no thread to be had: it will be asked again
                with self._lock:
                    self._looking.discard(place)

    def _look(self, place: str) -> None:
        why_not = why_unseen(place)
        with self._lock:
            self._looking.discard(place)
            is_news = self._seen.pop(place, None) != why_not
            self._seen[place] = why_not
            while len(self._seen) > _MOST:
                del self._seen[next(iter(self._seen))]
        if is_news:
            self._on_change()
