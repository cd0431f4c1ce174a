"""Which descriptors the pool's thread sleeps on, its own bell and three of each child, and how long.

A child's channel is watched for room only while something is unsent; what has ended is not watched,
or the thread would never sleep. Knows nothing of what is said.
"""

from __future__ import annotations

import os
import select
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
    """What the kernel watches for a pool (epoll(7)), and who hears of it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._hearers: dict[int, Callable[[], None]] = {}
        self._for_room: set[int] = set()
        self._add(self._bell, self._silence)

    def ring(self) -> None:
        """Wake the thread; from any thread."""
        os.eventfd_write(self._bell, 1)

    def sleep(self, seconds: float | None) -> list[Callable[[], None]]:
        """Wait for what is watched, for ever if None; return who asked to hear of it."""
        return [self._hearers[descriptor] for descriptor, _ in self._epoll.poll(seconds)]

    def add(
        self, child: Child, *, heard: Callable[[], None], printed: Callable[[], None], exited: Callable[[], None]
    ) -> None:
        """Watch a child: what it says and has room for, what it prints, and its end."""
        self._add(child.channel.fileno(), heard)
        self._add(child.output, printed)
        if child.exit_descriptor is not None:
            self._add(child.exit_descriptor, exited)

    def update(self, child: Child) -> None:
        """Watch the channel for room exactly while something is unsent."""
        channel = child.channel.fileno()
        if child.has_unsent == (channel in self._for_room) or channel not in self._hearers:
            return
        self._epoll.modify(channel, select.EPOLLIN | (select.EPOLLOUT if child.has_unsent else 0))
        (self._for_room.add if child.has_unsent else self._for_room.discard)(channel)

    def remove_channel(self, child: Child) -> None:
        """Watch a child's channel no longer."""
        self._remove(child.channel.fileno())

    def remove_output(self, child: Child) -> None:
        """Watch no longer what a child prints."""
        self._remove(child.output)

    def remove(self, child: Child) -> None:
        """Watch nothing of a child any more, before its descriptors are closed."""
        self.remove_channel(child)
        self.remove_output(child)
        if child.exit_descriptor is not None:
            self._remove(child.exit_descriptor)

    def close(self) -> None:
        """Let go of the pool's own descriptors, when nobody will ring any more."""
        self._epoll.close()
        os.close(self._bell)

    def _add(self, descriptor: int, hearer: Callable[[], None]) -> None:
        self._epoll.register(descriptor, select.EPOLLIN)
        self._hearers[descriptor] = hearer

    def _remove(self, descriptor: int) -> None:
        if self._hearers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
            self._for_room.discard(descriptor)

    def _silence(self) -> None:
        os.eventfd_read(self._bell)
