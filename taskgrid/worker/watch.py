"""Which descriptors the pool's thread sleeps on, its own bell and three of each child, and how long.

A child's channel is watched for room only while something is unsent; what has ended is not watched,
or the thread would never sleep. Knows nothing of what is said.
"""

from __future__ import annotations

import contextlib
import os
import selectors
from collections.abc import Callable
from math import inf
from typing import Final

from taskgrid.worker.cut import TICK
from taskgrid.worker.process import Child

_STAY_AWAKE: Final = 2.0
"""Seconds after the last work in which the thread looks at every other tick whether there is some."""


class Rest:
    """For how long the pool's thread sleeps.

    A while after the last work it still looks now and then, so that whoever shares work out meanwhile
    need not wake it only for it to look when to look.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._busy_at = 0.0

    def begin(self, now: float, due: float | None, *, busy: bool) -> float | None:
        """Return until when to sleep, None for ever; monotonic instants."""
        if busy:
            self._busy_at = now
        if due is None and now < self._busy_at + _STAY_AWAKE:
            due = now + 2 * TICK
        self._until = inf if due is None else due
        return due

    def is_deep(self, now: float) -> bool:
        """Say whether the thread would come too late for work that was shared out now."""
        return self._until > now + 2 * TICK


class Watch:
    """The selector of a pool."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._bell, selectors.EVENT_READ, self._silence)

    def ring(self) -> None:
        """Wake the thread; from any thread."""
        os.eventfd_write(self._bell, 1)

    def sleep(self, seconds: float | None) -> list[Callable[[], None]]:
        """Wait for what is watched, for ever if None; return who asked to hear of it."""
        return [key.data for key, _ in self._selector.select(seconds)]

    def add(
        self, child: Child, *, heard: Callable[[], None], printed: Callable[[], None], exited: Callable[[], None]
    ) -> None:
        """Watch a child: what it says and has room for, what it prints, and its end."""
        self._selector.register(child.channel, selectors.EVENT_READ, heard)
        self._selector.register(child.output, selectors.EVENT_READ, printed)
        if child.exit_descriptor is not None:
            self._selector.register(child.exit_descriptor, selectors.EVENT_READ, exited)

    def update(self, child: Child) -> None:
        """Watch the channel for room exactly while something is unsent."""
        if child.has_hung_up:
            return
        key = self._selector.get_key(child.channel)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.has_unsent else 0)
        if events != key.events:
            self._selector.modify(child.channel, events, key.data)

    def remove_channel(self, child: Child) -> None:
        """Watch a child's channel no longer."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.channel)

    def remove_output(self, child: Child) -> None:
        """Watch no longer what a child prints."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.output)

    def remove(self, child: Child) -> None:
        """Watch nothing of a child any more."""
        self.remove_channel(child)
        self.remove_output(child)
        if child.exit_descriptor is not None:
            self._selector.unregister(child.exit_descriptor)

    def close(self) -> None:
        """Let go of the pool's own descriptors, when nobody will ring any more."""
        self._selector.close()
        os.close(self._bell)

    def _silence(self) -> None:
        os.eventfd_read(self._bell)
