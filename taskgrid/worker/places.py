"""What a worker sees of the folders that jobs read: it looks when the master asks, and remembers what it saw.

A folder that is empty is not seen either: the job's client found files in it, so what is here is a place
where nothing is mounted. A look may hang, as on a dead network disk; so each is made by a thread of its own,
and until it returns the folder is not seen, and not looked at again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from typing import Final

from taskgrid.disks import is_within_bounds

_MOST: Final = 256
"""Folders remembered; beyond, those that were asked about first go."""


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
            news = [place for place in places if place not in self._looking]
            self._looking.update(news)
        for place in news:
            threading.Thread(target=self._look, args=(place,), name="look", daemon=True).start()

    def _look(self, place: str) -> None:
        why_not = _why_unseen(place)
        with self._lock:
            self._looking.discard(place)
            is_news = self._seen.get(place) != why_not
            self._seen[place] = why_not
            while len(self._seen) > _MOST:
                del self._seen[next(iter(self._seen))]
        if is_news:
            self._on_change()


def _why_unseen(place: str) -> str:
    if not is_within_bounds(place):
        return "it lies outside the folders of this worker's --root"
    try:
        with os.scandir(place) as entries:
            return "" if next(entries, None) is not None else "it is empty here"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
