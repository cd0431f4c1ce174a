"""Callers: connections that have shown a key, and the watch that notices at once when one is gone.

A thread inside a long poll does not read, so it would not see its peer vanish. One watcher asks the kernel
for all of them (`EPOLLRDHUP`, registered once per connection: no cost per request) and tells the service,
so that nothing is handed to the dead. A caller that is not inside a call is told by its own thread.
"""

from __future__ import annotations

import select
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import structlog

from taskgrid.transport.connection import Connection
from taskgrid.transport.keys import LiveKey
from taskgrid.transport.protocol import Peer

_log = structlog.get_logger()


class Caller:
    """A connection, who is at its other end, and whether it is inside a call."""

    def __init__(self, peer: Peer, connection: Connection) -> None:
        self.peer = peer
        self.connection = connection
        self.busy = False
        self.hung_up = False
        self.departed = False

    def begin(self) -> bool:
        """Enter a call; False when the peer has gone since it asked."""
        # In this order: the watcher sets `hung_up` first and reads `busy` then, so one of the two sees the other.
        self.busy = True
        return not self.hung_up

    def end(self) -> None:
        """Leave a call."""
        self.busy = False


class Callers:
    """All callers of a server; `on_gone` hears of each once, when its connection ends."""

    def __init__(self, on_gone: Callable[[Peer], None]) -> None:
        self._on_gone = on_gone
        self._lock = threading.Lock()
        self._by_id: dict[int, Caller] = {}
        self._by_fd: dict[int, Caller] = {}
        self._epoll = select.epoll()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._epoll.register(self._wake_reader, select.EPOLLIN)
        self._watcher = threading.Thread(target=self._watch, name="taskgrid-watch", daemon=True)

    def __len__(self) -> int:
        return len(self._by_id)

    def start(self) -> None:
        """Begin to watch."""
        self._watcher.start()

    def stop(self, timeout: float) -> None:
        """End the watch; after the callers' own threads."""
        self._wake_writer.send(b"x")
        if self._watcher.ident is not None:
            self._watcher.join(timeout)
        self._epoll.close()
        self._wake_reader.close()
        self._wake_writer.close()

    def enter(self, caller: Caller) -> None:
        """Take in a connection whose handshake is done."""
        fd = caller.connection.fileno()
        with self._lock:
            self._by_id[caller.peer.connection] = self._by_fd[fd] = caller
        with suppress(ValueError):  # the server was stopped meanwhile
            self._epoll.register(fd, select.EPOLLRDHUP | select.EPOLLONESHOT)

    def leave(self, caller: Caller) -> None:
        """Let a connection go, before its descriptor is closed."""
        fd = caller.connection.fileno()
        with self._lock:
            self._by_id.pop(caller.peer.connection, None)
            self._by_fd.pop(fd, None)
        with suppress(OSError, ValueError):
            self._epoll.unregister(fd)
        self._depart(caller)

    def is_open(self, number: int) -> bool:
        """Say whether the peer of this connection is still there."""
        caller = self._by_id.get(number)
        return caller is not None and caller.connection.peer_open()

    def shutdown(self, how: int) -> None:
        """End all connections, in one direction or both."""
        for caller in self._all():
            caller.connection.shutdown(how)

    def cut(self, still: Callable[[LiveKey], bool]) -> Counter[str]:
        """End the connections of keys that are not live any more; return how many of each key's name."""
        keys = [(caller, caller.connection.session.key) for caller in self._all()]
        gone = [(caller, key) for caller, key in keys if key and not still(key)]
        for caller, _ in gone:
            caller.connection.shutdown()
        return Counter(key.name for _, key in gone)

    def _all(self) -> list[Caller]:
        with self._lock:
            return list(self._by_id.values())

    def _watch(self) -> None:
        while True:
            for fd, _ in self._epoll.poll():
                if fd == self._wake_reader.fileno():
                    return
                self._hang_up(fd)

    def _hang_up(self, fd: int) -> None:
        with self._lock:
            caller = self._by_fd.get(fd)
        # Asked again, since the descriptor may be another connection's by now.
        if caller is None or caller.connection.peer_open():
            return
        caller.hung_up = True
        if caller.busy:
            self._depart(caller)

    def _depart(self, caller: Caller) -> None:
        with self._lock:
            known, caller.departed = caller.departed, True
        if known:
            return
        try:
            self._on_gone(caller.peer)
        except Exception:  # noqa: BLE001  # a service that fails must not end the watch
            _log.exception("peer.departure_failed", peer=caller.peer.address)
