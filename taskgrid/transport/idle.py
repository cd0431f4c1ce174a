"""Idle callers: connections that have asked and say nothing now, which take no thread while they don't.

Most connections of a master are silent most of the time: a worker's beats are seconds apart, its wait for work
takes longer still. A thread that has carried a request keeps more memory (its stack, and Python's) than all else of
a connection under TLS, so a caller that is silent for a while loses its thread. Some threads listen for all of these;
the one that the kernel wakes serves whoever has spoken or left, itself, as one more hand between the two would cost
more than the call. Whoever is the last to listen starts the next first; where the machine has no thread for that,
those who serve are told to come back sooner. It reads nothing, and knows nothing of frames.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from taskgrid.transport.callers import Caller

_ENOUGH: Final = 32  # threads that listen: a megabyte, and a small grid never has to start one for a word


class Idle:
    """Callers without a thread; `start_listener` starts one that calls `next`, or raises `RuntimeError`."""

    def __init__(self, start_listener: Callable[[], None]) -> None:
        self._start_listener = start_listener
        self._callers: dict[int, Caller] = {}  # by descriptor
        self._lock = threading.Lock()
        self._ended = False
        self._poll = select.epoll()
        self._waker = os.eventfd(0)
        self._poll.register(self._waker, select.EPOLLIN)
        self.listening = 0
        """Threads that wait for the next word of any of these."""

    def __len__(self) -> int:
        return len(self._callers)

    def enter(self, caller: Caller) -> bool:
        """Take a caller in; false once this has ended: it stays its thread's. Raises `OSError`."""
        fd = caller.connection.fileno()
        with self._lock:
            if self._ended:
                return False
            # Once: it wakes one thread, which takes it out again.
            self._poll.register(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT)
            caller.connection.lie_idle()
            self._callers[fd] = caller
            return True

    def next(self) -> Caller | None:
        """Listen until one of them speaks or leaves, and take it out; None when the thread is not needed any more."""
        with self._lock:
            if self.listening >= max(1, min(_ENOUGH, len(self._callers))):
                return None
            self.listening += 1
        caller, alone = self._listen()
        if caller and alone:
            with suppress(RuntimeError):
                self._start_listener()
        return caller

    def end(self) -> None:
        """Take in no more, and let go of the threads once all who are here were taken out."""
        with self._lock:
            self._ended = True
        os.eventfd_write(self._waker, 1)

    def close(self) -> None:
        """Give the descriptors back; after all threads ended."""
        self._poll.close()
        os.close(self._waker)

    def _listen(self) -> tuple[Caller | None, bool]:
        """Return the next caller, None at the end, and whether no other thread listens now."""
        while True:
            ((fd, _),) = self._poll.poll(maxevents=1)
            with self._lock:  # who is heard may be just about to come in
                caller = self._callers.pop(fd, None)
                if caller or not self._callers:
                    self.listening -= 1
                    break
        if caller:
            self._poll.unregister(fd)
        return caller, not self.listening
