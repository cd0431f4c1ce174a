"""The two plain FIFO queues behind the stock port.

They are apart from jobs: no lease, no attempt, no token. An item is on disk from the moment `put`
answers until `get` answers, then it is the caller's, at most once. A caller that is gone when its
turn comes gets nothing, and an answer that could not be sent puts its item back at the head. This
module knows the queues and their file (`stock.db` beside the journal); who may connect, and how
values travel, is `transport/stock`'s business.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Full
from typing import Any, Final

from taskgrid.clock import Clock, SystemClock
from taskgrid.errors import TooLarge
from taskgrid.master.meters import Meters
from taskgrid.settings import MasterSettings, how_to_raise
from taskgrid.transport.stock import Handover, Limits, Peer, StockServer, Verb, decode, encode

_NAMES: Final = {"get_task_queue": 1, "get_result_queue": 2}
"""What clients register, and the number that stands for it in the file: a name may change, a number not."""

_LOOK_UP: Final = 5.0
"""Seconds after which a blocked `get` looks whether its caller is still there."""

# AUTOINCREMENT: an item that is taken back needs its old id, which no other may have got meanwhile.
_TABLE: Final = "CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY AUTOINCREMENT, queue INTEGER, value BLOB)"

_SYNCHRONOUS: Final = {"power": "FULL", "process": "NORMAL", "none": "OFF"}


def _default(setting: str) -> int:
    return int(MasterSettings.model_fields[setting].default)


@dataclass(frozen=True, slots=True)
class StockLimits:
    """What the stock port takes, each by default as its setting `stock_max_...`."""

    connections: int = _default("stock_max_connections")
    items: int = _default("stock_max_items")
    bytes: int = _default("stock_max_bytes")
    item_bytes: int = _default("stock_max_item_bytes")


_LIMITS: Final = StockLimits()


class StockStore:
    """The queues' items on disk: one SQLite file, one connection, a row per item; `size` is their bytes."""

    def __init__(self, path: str | None, durability: str) -> None:
        self._lock = threading.Lock()
        if path:
            Path(path).touch(mode=0o600)
        self._rows = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._rows.execute("PRAGMA journal_mode=WAL")
        self._rows.execute(f"PRAGMA synchronous={_SYNCHRONOUS[durability]}")
        self._rows.execute(_TABLE)
        self.size = int(self._rows.execute("SELECT coalesce(sum(length(value)), 0) FROM item").fetchone()[0])

    def ids(self, queue: int) -> list[int]:
        """Return the ids of a queue's items, oldest first."""
        with self._lock:
            rows = self._rows.execute("SELECT id FROM item WHERE queue = ? ORDER BY id", (queue,))
            return [row[0] for row in rows]

    def add(self, queue: int, value: bytes, most: int) -> int | None:
        """Store an item durably and return its id; None if all would be more than `most` bytes then."""
        with self._lock:
            return None if self.size + len(value) > most else self._insert(queue, None, value)

    def put_back(self, queue: int, ident: int, value: bytes) -> None:
        """Store an item durably under the id that it had."""
        with self._lock:
            self._insert(queue, ident, value)

    def _insert(self, queue: int, ident: int | None, value: bytes) -> int:
        cursor = self._rows.execute("INSERT INTO item VALUES (?, ?, ?)", (ident, queue, value))
        self.size += len(value)
        return int(cursor.lastrowid or 0)

    def take(self, ident: int) -> bytes:
        """Remove an item durably and return its value."""
        with self._lock:
            row = self._rows.execute("DELETE FROM item WHERE id = ? RETURNING value", (ident,)).fetchall()[0]
            self.size -= len(row[0])
            return bytes(row[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._rows.close()


class StockQueue:
    """One FIFO queue, with the methods of `queue.Queue` that make sense from afar."""

    def __init__(self, store: StockStore, number: int, limits: StockLimits, meters: Meters, clock: Clock) -> None:
        self._store = store
        self._number = number
        self._limits = limits
        self._meters = meters
        self._clock = clock
        self._waiting = deque(store.ids(number))
        self._changed = threading.Condition()
        self._closed = False

    def verbs(self) -> Mapping[str, Verb]:
        """Return what a client may call."""
        return {
            "put": self.put,
            "put_nowait": self.put,
            "get": self.get,
            "get_nowait": self.get_nowait,
            "qsize": self.qsize,
            "empty": self.empty,
            "full": self.full,
        }

    def put(self, _peer: Peer, /, item: Any, block: object = True, timeout: object = None) -> None:  # noqa: ARG002  # the signature of `queue.Queue`
        """Keep `item`; raises `Full` at once when the queues hold as much as they may."""
        value, limits = encode(item), self._limits
        if len(value) > limits.item_bytes:
            raise self._too_large(len(value))
        if len(self._waiting) >= limits.items:
            raise self._full(f"the queue holds {limits.items:,} items", "stock_max_items")
        ident = self._store.add(self._number, value, limits.bytes)
        if ident is None:
            raise self._full(f"the queues hold {self._store.size:,} of {limits.bytes:,} bytes", "stock_max_bytes")
        with self._changed:
            self._waiting.append(ident)
            self._changed.notify()

    def get(self, peer: Peer, /, block: object = True, timeout: float | None = None) -> Handover:
        """Hand out the oldest item, after waiting for one at most `timeout` seconds; else raise `Empty`."""
        ident = self._next(peer, self._wait_until(block, timeout))
        try:
            value = self._store.take(ident)
        except sqlite3.Error:
            self._put_first(ident)
            raise
        return Handover(decode(value), lambda: self._take_back(ident, value))

    def get_nowait(self, peer: Peer, /) -> Handover:
        """Hand out the oldest item, or raise `Empty`."""
        return self.get(peer, block=False)

    def qsize(self, _peer: Peer, /) -> int:
        """Return how many items wait."""
        return len(self._waiting)

    def empty(self, _peer: Peer, /) -> bool:
        """Say whether no item waits."""
        return not self._waiting

    def full(self, _peer: Peer, /) -> bool:
        """Say whether the next `put` would raise `Full`."""
        return len(self._waiting) >= self._limits.items

    def __len__(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        """End every `get` that waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _full(self, what: str, setting: str) -> Full:
        self._meters.reached(setting)
        return Full(f"{what}: get some, or {how_to_raise(setting)}")

    def _too_large(self, size: int) -> TooLarge:
        self._meters.reached("stock_max_item_bytes")
        return TooLarge(
            f"the item has {size:,} bytes, more than {self._limits.item_bytes:,}",
            hint=f"write it to shared storage and put its path, or {how_to_raise('stock_max_item_bytes')}",
        )

    def _wait_until(self, block: object, timeout: float | None) -> float | None:
        if not block:
            return self._clock.now()
        if timeout is None:
            return None
        if not isinstance(timeout, int | float) or timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        return self._clock.now() + timeout

    def _next(self, peer: Peer, until: float | None) -> int:
        with self._changed:
            while True:
                if self._closed or not peer.is_open():
                    # The wake-up that came for this caller is the next one's.
                    self._changed.notify()
                    raise EOFError
                if self._waiting:
                    return self._waiting.popleft()
                self._changed.wait(self._patience(until))

    def _patience(self, until: float | None) -> float:
        if until is None:
            return _LOOK_UP
        left = until - self._clock.now()
        if left <= 0:
            raise Empty
        return min(left, _LOOK_UP)

    def _take_back(self, ident: int, value: bytes) -> None:
        self._store.put_back(self._number, ident, value)
        self._put_first(ident)

    def _put_first(self, ident: int) -> None:
        with self._changed:
            self._waiting.appendleft(ident)
            self._changed.notify()


class StockPort:
    """The stock port of a master: server, queues and their file, under one owner.

    `path` is the file, None for queues that end with the process; `durability` is the journal's.
    """

    def __init__(
        self,
        address: tuple[str, int],
        key: bytes,
        path: str | None,
        durability: str = "power",
        *,
        limits: StockLimits = _LIMITS,
        meters: Meters | None = None,
    ) -> None:
        clock, meters = SystemClock(), meters or Meters()
        self._store = StockStore(path, durability)
        self._queues = {name: StockQueue(self._store, number, limits, meters, clock) for name, number in _NAMES.items()}
        objects = {name: queue.verbs() for name, queue in self._queues.items()}
        wire = replace(Limits(), connections=limits.connections)
        try:
            self._server = StockServer(address, key, objects, (Empty, Full), limits=wire, clock=clock)
        except OSError:
            self._store.close()
            raise
        self._watch(limits, meters)

    def _watch(self, limits: StockLimits, meters: Meters) -> None:
        server, store, queues = self._server, self._store, self._queues.values()
        meters.watch("stock_max_connections", limits.connections, lambda: server.logged_in, lambda: server.turned_away)
        meters.watch("stock_max_items", limits.items, lambda: max(map(len, queues)))
        meters.watch("stock_max_bytes", limits.bytes, lambda: store.size)
        meters.watch("stock_max_item_bytes", limits.item_bytes)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        host, port = self._server.listener.address
        return host, port

    def start(self) -> None:
        """Serve, in threads."""
        self._server.start()

    def stop(self, within: float) -> None:
        """End all connections within that many seconds, and close the file."""
        for queue in self._queues.values():
            queue.close()
        self._server.stop(within)
        self._store.close()
