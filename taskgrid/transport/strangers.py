"""Strangers: connections that have not shown a key yet, and how many of them a server bears.

When all places are taken the next one waits in the kernel's backlog until a place is free. A stranger
loses its place only after a while without progress, so a flood of silent ones can slow the honest down
by seconds, but neither shut them out nor throw them out in the middle of their handshake.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from taskgrid.transport.stream import Stream


class Strangers:
    """The places for strangers."""

    def __init__(self, places: int, shed_after: float) -> None:
        self._places = places
        self._shed_after = shed_after
        self._progress_at: dict[Stream, float] = {}
        self._changed = threading.Condition()
        self._closed = False

    def wait_for_place(self) -> None:
        """Return when there is a place for one more, or when closed."""
        with self._changed:
            while len(self._progress_at) >= self._places and not self._closed:
                stalled_for = self._shed_one()
                self._changed.wait(self._shed_after - stalled_for)

    def enter(self, stream: Stream) -> None:
        """Give a place to a new connection."""
        with self._changed:
            self._progress_at[stream] = time.monotonic()
            if self._closed:
                stream.shutdown()

    def progress(self, stream: Stream) -> None:
        """Note that a stage of its handshake was reached."""
        with self._changed:
            if stream in self._progress_at:
                self._progress_at[stream] = time.monotonic()

    def leave(self, stream: Stream) -> None:
        """Free the place of one that is no stranger any more, or gone; harmless when it has none."""
        with self._changed, suppress(KeyError):
            del self._progress_at[stream]
            self._changed.notify_all()

    def close(self) -> None:
        """End all strangers' connections, now and from now on."""
        with self._changed:
            self._closed = True
            for stream in self._progress_at:
                stream.shutdown()
            self._changed.notify_all()

    def _shed_one(self) -> float:
        """Take its place from the one without progress for longest, if that is long enough; say how long."""
        oldest = min(self._progress_at, key=self._progress_at.__getitem__)
        stalled_for = time.monotonic() - self._progress_at[oldest]
        if stalled_for < self._shed_after:
            return stalled_for
        oldest.shutdown()
        del self._progress_at[oldest]
        return self._shed_after
