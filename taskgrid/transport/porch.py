"""The porch: where those who were accepted stand until they have greeted: shown a key, or been refused.

They cost a descriptor there, and no thread. A greeting is a generator that does its next step without waiting, and
says how many bytes it goes on with: the kernel tells when the last of them is in (`SO_RCVLOWAT`). So a thousand who
say nothing, half a word, or a byte now and then, take nothing from those who speak, however far they have come.
Whoever has not greeted in time is turned out; when the porch is full, so is the one who stands there longest, after
a while. It knows nothing of what is said.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Final, NamedTuple

import structlog

from taskgrid.transport.connection import LOST, Session
from taskgrid.transport.limits import Limits
from taskgrid.transport.listener import Listener
from taskgrid.transport.memory import give_free_pages_back
from taskgrid.transport.stream import Stream

Greeting = Generator[int, None, Session | None]
"""One greeting, a step at a time: yields the bytes it waits for; returns None for a peer that is refused."""

_CROWD: Final = 256
_log = structlog.get_logger()


class Guest(NamedTuple):
    """Who has shown a key."""

    stream: Stream
    session: Session


class Porch:
    """Hands on, one at a time, the connections of a listener whose `greeting` came to a session."""

    def __init__(self, listener: Listener, limits: Limits, greeting: Callable[[Stream], Greeting]) -> None:
        self._listener = listener
        self._limits = limits
        self._greeting = greeting
        self._standing: dict[int, tuple[Stream, Greeting, float]] = {}
        """By descriptor: the last is since when; in order of arrival."""
        self._most = 0
        """How many stood here at once, since it was last empty."""
        self._guests: deque[Guest] = deque()
        self._poll = select.epoll()
        self._poll.register(listener.waker, select.EPOLLIN)
        self._poll.register(listener, select.EPOLLIN)
        self._listens = True

    def __len__(self) -> int:
        return len(self._standing)

    def accept(self) -> Guest | None:
        """Wait for the next one who has greeted; None now and then, and when the listener was woken.

        Raises `OSError` if there were not even descriptors to turn a peer away.
        """
        if not self._guests:
            self._turn_out()
            self._tidy_up()
            for fd, _ in self._poll.poll(self._patience()):
                self._look(fd)
        return self._guests.popleft() if self._guests else None

    def close(self) -> None:
        """Turn all out; for the thread that accepts, or after it ended."""
        self._poll.close()
        for fd in list(self._standing):
            self._turn_away(fd)
        while self._guests:
            self._guests.popleft().stream.close()

    def _look(self, fd: int) -> None:
        if fd == self._listener.fileno():
            self._let_on()
        elif fd in self._standing:
            self._hear(fd)

    def _let_on(self) -> None:
        sock = self._listener.take()
        if sock is None:
            return
        try:
            stream = Stream(sock)
        except OSError:  # it is gone already
            sock.close()
            return
        fd = stream.fileno()
        self._standing[fd] = (stream, self._greeting(stream), time.monotonic())
        self._poll.register(fd, select.EPOLLIN | select.EPOLLRDHUP)
        self._hear(fd)

    def _hear(self, fd: int) -> None:
        """Let one do the next step of its greeting."""
        stream, greeting, _ = self._standing[fd]
        try:
            stream.wake_at(next(greeting))
        except StopIteration as greeted:
            self._poll.unregister(fd)
            del self._standing[fd]
            self._let_in(stream, greeted.value)
        except LOST:
            self._turn_away(fd)
        except Exception:  # noqa: BLE001  # a defect that one of them hits must not keep out all others
            _log.exception("porch.greeting_failed")
            self._turn_away(fd)

    def _let_in(self, stream: Stream, session: Session | None) -> None:
        if session is None:
            stream.close()
            return
        with suppress(OSError):  # whoever reads will find out
            stream.wake_at(1)
        self._guests.append(Guest(stream, session))

    def _turn_away(self, fd: int) -> None:
        self._standing.pop(fd)[0].close()  # the kernel forgets it in the poll

    def _turn_out(self) -> None:
        """Turn out whose time is up, and listen for more if there is a place."""
        now = time.monotonic()
        while self._standing:
            fd, (_, _, since) = next(iter(self._standing.items()))
            if now - since < self._may_stand():
                break
            self._turn_away(fd)
        listens = len(self._standing) < self._limits.porch
        if listens != self._listens:
            self._poll.modify(self._listener, select.EPOLLIN if listens else 0)
            self._listens = listens

    def _tidy_up(self) -> None:
        """Once a crowd is gone, let go of its memory: in the midst of TLS each of them takes 44 KB."""
        self._most = max(self._most, len(self._standing))
        if self._most > _CROWD and not self._standing:
            self._most = 0
            give_free_pages_back()

    def _may_stand(self) -> float:
        full = len(self._standing) >= self._limits.porch
        return self._limits.shed_after if full else self._limits.handshake

    def _patience(self) -> float | None:
        if not self._standing:
            return None
        _, _, since = next(iter(self._standing.values()))
        return max(0.0, since + self._may_stand() - time.monotonic())
