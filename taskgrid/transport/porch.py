"""The porch: where those who were accepted stand until they have said a whole hello.

They cost a descriptor there, and no thread, no buffer and no TLS: the kernel tells when the last byte of the hello
is in (`SO_RCVLOWAT`). So a thousand who connect and say nothing, or a byte now and then, take no place from those who
speak. Whoever has not spoken in time is turned out; when the porch is full, so is the one who stands there longest,
after a while. It reads nothing and knows no protocol but the hello's length.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from contextlib import suppress

from taskgrid.transport.limits import Limits
from taskgrid.transport.listener import Listener


class Porch:
    """Hands on, one at a time, the connections of a listener that have said `hello` bytes or hung up."""

    def __init__(self, listener: Listener, limits: Limits, *, hello: int) -> None:
        self._listener = listener
        self._limits = limits
        self._hello = hello
        self._standing: dict[int, tuple[socket.socket, float]] = {}
        """By descriptor, and since when; in order of arrival."""
        self._spoken: deque[socket.socket] = deque()
        self._poll = select.epoll()
        self._poll.register(listener.waker, select.EPOLLIN)
        self._poll.register(listener, select.EPOLLIN)
        self._listens = True

    def __len__(self) -> int:
        return len(self._standing)

    def accept(self) -> socket.socket | None:
        """Wait for the next one who has spoken; None now and then, and when the listener was woken.

        Raises `OSError` if there were not even descriptors to turn a peer away.
        """
        if not self._spoken:
            self._turn_out()
            for fd, _ in self._poll.poll(self._patience()):
                self._look(fd)
        return self._spoken.popleft() if self._spoken else None

    def close(self) -> None:
        """Turn all out; for the thread that accepts, or after it ended."""
        self._poll.close()
        for sock in [*self._spoken, *(sock for sock, _ in self._standing.values())]:
            sock.close()
        self._spoken.clear()
        self._standing.clear()

    def _look(self, fd: int) -> None:
        if fd == self._listener.fileno():
            self._let_on()
        elif fd in self._standing:
            sock, _ = self._standing.pop(fd)
            self._poll.unregister(fd)
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            self._spoken.append(sock)

    def _let_on(self) -> None:
        sock = self._listener.take()
        if sock is None:
            return
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, self._hello)
            self._poll.register(sock, select.EPOLLIN | select.EPOLLRDHUP)
        except OSError:  # it is gone already
            sock.close()
            return
        self._standing[sock.fileno()] = (sock, time.monotonic())

    def _turn_out(self) -> None:
        """Turn out whose time is up, and listen for more if there is a place."""
        now = time.monotonic()
        while self._standing:
            fd, (sock, since) = next(iter(self._standing.items()))
            if now - since < self._may_stand():
                break
            del self._standing[fd]
            sock.close()  # the kernel forgets it in the poll
        listens = len(self._standing) < self._limits.porch
        if listens != self._listens:
            self._poll.modify(self._listener, select.EPOLLIN if listens else 0)
            self._listens = listens

    def _may_stand(self) -> float:
        full = len(self._standing) >= self._limits.porch
        return self._limits.shed_after if full else self._limits.handshake

    def _patience(self) -> float | None:
        if not self._standing:
            return None
        _, since = next(iter(self._standing.values()))
        return max(0.0, since + self._may_stand() - time.monotonic())
