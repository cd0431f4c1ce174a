"""`GridManager`: the standard library's manager as client, worker and command line use it.

It hands out proxies for the task queue, the result queue and control, each with a connection of its own
and each of a fixed class: no object is created on the wire, no reference counted, nothing pickled. The
other end is made by `server.serve`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from multiprocessing.managers import BaseManager
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from taskgrid.errors import UsageError
from taskgrid.transport.address import parse_address
from taskgrid.transport.channel import Channel, Patience
from taskgrid.transport.protocol import CONTROL, RESULTS, TASKS
from taskgrid.transport.proxies import Control, GridProxy, ResultQueue, TaskQueue
from taskgrid.transport.standard import SERIALIZER

P = TypeVar("P", bound=GridProxy)


class GridManager(BaseManager):
    """The way to a master, or to the first of several that answers."""

    def __init__(
        self,
        servers: Sequence[str],
        key: bytes,
        *,
        connect_timeout: float = 5.0,
        reconnect_for: float | None = 600.0,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        """Take addresses (`host[:port]`) and a key; nothing is dialled yet. Times are in seconds."""
        self._servers = tuple(map(parse_address, servers))
        if not self._servers:
            raise UsageError("No master is named.", hint="Name one: HOST or HOST:PORT.")
        super().__init__(address=self._servers[0], authkey=key, serializer=SERIALIZER)
        self._key = key
        self._patience = Patience(connect_timeout, reconnect_for, on_wait)
        self._made: weakref.WeakSet[GridProxy] = weakref.WeakSet()
        self._closed = False
        self._lock = threading.Lock()  # between the making of a proxy and the closing of all

    def connect(self) -> None:
        """Try once to reach a master. Raises `MasterUnreachable`, `NotLetIn` or `VersionMismatch`."""
        channel = self._channel()
        try:
            channel.connect()
        finally:
            channel.close()

    def get_task_queue(self) -> TaskQueue:
        """Make a new proxy of the task queue; it connects at its first call."""
        return self._proxy(TaskQueue, TASKS)

    def get_result_queue(self) -> ResultQueue:
        """Make a new proxy of the result queue; it connects at its first call."""
        return self._proxy(ResultQueue, RESULTS)

    def get_control(self) -> Control:
        """Make a new proxy of the master's control; it connects at its first call."""
        return self._proxy(Control, CONTROL)

    def close(self) -> None:
        """Close all proxies, those still to be made included."""
        with self._lock:
            self._closed = True
            made = list(self._made)
        for proxy in made:
            proxy.close()

    def get_server(self) -> NoReturn:
        """Refuse: this is the client's side."""
        raise UsageError("A GridManager is a client.", hint="`taskgrid.transport.server.serve` makes servers.")

    def start(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: this is the client's side."""
        self.get_server()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _channel(self) -> Channel:
        return Channel(self._servers, self._key, self._patience)

    def _proxy(self, kind: type[P], typeid: str) -> P:
        proxy = kind(typeid, self._channel(), manager=self)
        with self._lock:
            self._made.add(proxy)
            closed = self._closed
        if closed:
            proxy.close()
        return proxy


for _typeid, _kind in ((TASKS, TaskQueue), (RESULTS, ResultQueue), (CONTROL, Control)):
    GridManager.register(_typeid, proxytype=_kind, exposed=_kind.verbs, create_method=False)
