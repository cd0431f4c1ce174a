"""Callers: connections that have shown a key, and the word to the service when one is gone.

A connection is read, or listened to, even while a long poll waits, so that it is seen at once that its
peer has left, and nothing is handed to the dead. It knows nothing of requests but whether one is not answered yet.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import structlog

from taskgrid.transport.connection import Connection
from taskgrid.transport.frames import Packed
from taskgrid.transport.keys import LiveKey
from taskgrid.transport.protocol import Peer

_log = structlog.get_logger()


class Caller:
    """A connection, who is at its other end, whether it has asked for anything yet, and is owed an answer."""

    def __init__(self, peer: Peer, connection: Connection) -> None:
        self.peer = peer
        self.connection = connection
        self.heard = self.owed = False

    def post(self, packed: Packed, more: bool) -> None:
        """Answer, at last unless `more` answers follow, from any thread."""
        self.owed = more  # first: the peer may ask again before the next line
        self.connection.post(packed)


class Callers:
    """All callers of a server; `on_gone` hears of each once, when its connection has ended."""

    def __init__(self, on_gone: Callable[[Peer], None]) -> None:
        self._on_gone = on_gone
        self._lock = threading.Lock()
        self._by_id: dict[int, Caller] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def enter(self, caller: Caller) -> None:
        """Take in a connection whose handshake is done."""
        with self._lock:
            self._by_id[caller.peer.connection] = caller

    def leave(self, caller: Caller) -> None:
        """Let a connection go, before its descriptor is closed."""
        with self._lock:
            self._by_id.pop(caller.peer.connection, None)
        try:
            self._on_gone(caller.peer)
        except Exception:  # noqa: BLE001  # a service that fails must not keep the descriptor open
            _log.exception("peer.departure_failed", peer=caller.peer.address)

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
