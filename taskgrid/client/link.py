"""A Grid's connections to its master.

A proxy serialises its calls, and some calls last (a long poll, a commit), so each activity works
over a proxy of its own: it borrows one and gives it back, and an idle one is used again. Short
control calls share one. A forked child forgets what it inherited and connects anew.

This file knows nothing of jobs.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from taskgrid.settings import GridSettings
from taskgrid.transport.known import Door, find_master
from taskgrid.transport.manager import GridManager
from taskgrid.transport.proxies import Control, ResultQueue, TaskQueue

_log = logging.getLogger("taskgrid.client")


class Link:
    """Proxies to lend, made on first use; `close` ends every call that is under way."""

    def __init__(self, settings: GridSettings) -> None:
        self._settings = settings
        self._door: Door = find_master(settings.server, settings.key_file)
        self.server = ", ".join(self._door.servers)
        self._begin()

    def _begin(self) -> None:
        self._idle: defaultdict[str, deque[Any]] = defaultdict(deque)
        self._lent: set[Any] = set()
        self._manager = GridManager(
            self._door.servers,
            self._door.key,
            connect_timeout=self._settings.connect_timeout.total_seconds(),
            reconnect_for=self._settings.reconnect_for.total_seconds(),
            on_wait=_log.warning,
        )
        self.control: Control = self._manager.get_control()

    def connect(self) -> None:
        """Reach the master once within the connect timeout, or raise."""
        self._manager.connect()

    def after_fork(self) -> None:
        """Forget, in a forked child, connections and locks that are the parent's."""
        self._begin()

    @contextmanager
    def tasks(self) -> Iterator[TaskQueue]:
        """Lend a proxy of the task queue."""
        with self._lend("tasks", self._manager.get_task_queue) as proxy:
            yield proxy

    @contextmanager
    def results(self) -> Iterator[ResultQueue]:
        """Lend a proxy of the result queue."""
        with self._lend("results", self._manager.get_result_queue) as proxy:
            yield proxy

    @contextmanager
    def beats(self) -> Iterator[Control]:
        """Lend a control proxy that nobody else's call can hold up."""
        with self._lend("control", self._manager.get_control) as proxy:
            yield proxy

    @contextmanager
    def _lend(self, kind: str, make: Callable[[], Any]) -> Iterator[Any]:
        idle = self._idle[kind]
        try:
            proxy = idle.pop()
        except IndexError:
            proxy = make()
        # Held here too: an iteration dropped inside a cycle gives its proxy back while it is being
        # collected, and a proxy collected with it would come back closed. For the same reason there
        # is no lock: the collector may run inside it.
        self._lent.add(proxy)
        try:
            yield proxy
        finally:
            idle.append(proxy)
            self._lent.discard(proxy)

    def close(self) -> None:
        """End all connections; calls under way raise `ChannelClosed`."""
        self._manager.close()
