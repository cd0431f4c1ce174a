"""The agent: a worker's parent process, which owns its threads and says when each starts and ends.

    leaser    asks the master for work          pool      owns the slots and their children
    reporter  carries outcomes to the master    beat      enlists, extends, gives back, leaves

They meet in the ledger. The agent's own thread, the one that called `run`, waits for orders (a
signal, the master's, a thread's trouble) and carries a drain through. It imports no user code.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from types import FrameType
from typing import Final

import structlog

from taskgrid.errors import TaskGridError
from taskgrid.functions import offers_in_subprocess
from taskgrid.model import WorkerId, new_id
from taskgrid.settings import WorkerSettings
from taskgrid.transport.known import find_master
from taskgrid.transport.manager import GridManager
from taskgrid.transport.protocol import Offer, Recheck
from taskgrid.worker.beat import Beat
from taskgrid.worker.frames import Setup
from taskgrid.worker.leaser import Leaser
from taskgrid.worker.ledger import Ledger
from taskgrid.worker.pool import Pool
from taskgrid.worker.reporter import Reporter
from taskgrid.worker.slot import Terms

SHIPPED: Final = ("taskgrid.logs",)
"""Modules that a worker offers when its owner names none."""
_JOIN: Final = 5.0
"""Seconds for a thread to end once everything it waits for is closed."""
_REPORT: Final = 5.0
"""Seconds at least for what ended to be reported when the worker drains."""

log = structlog.get_logger()


class Order(Enum):
    """What the agent's own thread can be told."""

    DRAIN = auto()  # finish what runs, then leave
    STOP = auto()  # end now
    POOL_ENDED = auto()  # no child is left


class Agent:
    """A worker, from its start to its drain."""

    def __init__(self, settings: WorkerSettings, manager: GridManager) -> None:
        """Make a worker that speaks to the master through `manager`, and closes it at its end."""
        self._settings = settings
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._error: TaskGridError | None = None
        self.is_draining = False
        self.id = WorkerId(new_id())
        self.name = settings.name or f"{socket.gethostname()}-{os.getpid()}"
        self._offers = Offers(settings)
        wake = threading.Event()
        self._ledger = Ledger(settings.max_buffer_bytes, wake)
        terms = Terms(self.name, settings.memory_limit, settings.max_tasks_per_child)
        self._pool = Pool(settings.slots, terms, self._offers.setup(self.name), self._ledger, self._pool_ended)
        self._beat = Beat(
            self.id,
            self.name,
            settings.slots,
            manager,
            self._ledger,
            offers=self._offers.now,
            orders=self,
            wake=wake,
        )
        self._leaser = Leaser(
            self.id, manager.get_task_queue(), self._pool, self._ledger, self._beat, on_trouble=self.trouble
        )
        self._reporter = Reporter(self.id, manager.get_result_queue(), self._ledger, self.trouble)

    # ------------------------------------------------------------ orders, from any thread or a signal's handler

    def drain(self) -> None:
        """Finish what runs within the drain timeout, give the rest back, leave. Safe in a signal's handler."""
        self.is_draining = True
        self._orders.put(Order.DRAIN)

    def stop(self) -> None:
        """Kill what runs, give it back, leave. Safe in a signal's handler."""
        self.is_draining = True
        self._orders.put(Order.STOP)

    def trouble(self, error: TaskGridError) -> None:
        """Stop because nothing can go on; `run` returns the error's exit status."""
        self._error = self._error or error
        self._orders.put(Order.STOP)

    def dropped(self) -> None:
        """Let the pool go of tasks that are no longer this worker's."""
        self._pool.drop()

    def rechecked(self, rechecks: Sequence[Recheck]) -> None:
        """Look at the offered code again; if it changed, replace the children and say so to the master."""
        threading.Thread(target=self._look_again, args=(rechecks,), name="recheck", daemon=True).start()

    def _look_again(self, rechecks: Sequence[Recheck]) -> None:
        try:
            changed = self._offers.look_again()
        except TaskGridError as error:
            log.warning("code.unusable", why=str(error))
            return
        if changed:
            log.info("code.changed", functions=[recheck.function for recheck in rechecks])
            self._pool.replace()
            self._beat.enlist_again()

    def _pool_ended(self, error: TaskGridError | None) -> None:
        self._error = self._error or error
        self._orders.put(Order.POOL_ENDED)

    # ------------------------------------------------------------ the agent's own thread

    def run(self) -> int:
        """Work until drained, stopped or in trouble; return the exit status."""
        self._start()
        order = self._orders.get()
        started = time.monotonic()
        self._leaser.stop(_JOIN)
        if order is Order.DRAIN:
            self._drain(started + self._settings.drain_timeout.total_seconds())
        self._end(started)
        if self._error is not None:
            log.error("worker.failed", worker=self.name, why=str(self._error))
            return self._error.exit_status
        log.info("worker.ended", worker=self.name)
        return 0

    def _start(self) -> None:
        settings = self._settings
        log.info("worker.started", worker=self.name, slots=settings.slots, functions=list(self._offers.modules))
        if not settings.functions:
            log.info("worker.offers_shipped", why="no --functions: it runs what ships with TaskGrid, and nothing else")
        self._pool.start()
        self._beat.start()
        self._reporter.start()
        self._leaser.start()

    def _drain(self, deadline: float) -> None:
        """Let what runs go on until it has ended, the deadline, or another order."""
        log.info("worker.draining", worker=self.name, within=round(deadline - time.monotonic(), 1))
        self._pool.drain()
        self._beat.announce_drain()
        order = Order.DRAIN
        while order is Order.DRAIN:  # the master may ask for what a signal asked for already
            try:
                order = self._orders.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return

    def _end(self, started: float) -> None:
        self._pool.stop()
        if not self._pool.join(_JOIN):
            log.warning("children.left", why="a killed child does not end; the kernel holds it")
        left = self._settings.drain_timeout.total_seconds() - (time.monotonic() - started)
        if not self._reporter.stop(max(_REPORT, left) if self._error is None else _REPORT):
            log.warning("outcomes.lost", why="the master did not take them in time; those tasks will run again")
        self._beat.stop(_JOIN)
        self._pool.close()


class Offers:
    """What this worker offers, as child processes find it: the agent imports no user code."""

    def __init__(self, settings: WorkerSettings) -> None:
        named = settings.functions or SHIPPED
        scripts = [Path(name) for name in named if name.endswith(".py")]
        self.modules = tuple(name for name in named if not name.endswith(".py"))
        self._main = scripts[0] if scripts else None
        self._settings = settings
        self._lock = threading.Lock()
        self._offers: tuple[Offer, ...] | None = None

    def setup(self, worker: str) -> Setup:
        """Return what a child needs to know."""
        return Setup(
            modules=self.modules,
            paths=self._settings.path,
            main=self._main,
            worker=worker,
            max_result_bytes=self._settings.max_result_bytes,
            parent=os.getpid(),
        )

    def now(self) -> tuple[Offer, ...]:
        """Return what is offered, looked at once; FunctionRefused if it can't be imported."""
        with self._lock:
            if self._offers is None:
                self._offers = self._look()
            return self._offers

    def look_again(self) -> bool:
        """Look at the files again; say whether anything is different now."""
        with self._lock:
            before, self._offers = self._offers, self._look()
            return before != self._offers

    def _look(self) -> tuple[Offer, ...]:
        found = offers_in_subprocess(self.modules, self._settings.path, main=self._main)
        return tuple(Offer(function=name, code=code) for name, code, _ in found)


def run_worker(settings: WorkerSettings) -> int:
    """Find the master, work until drained, return the exit status; the first SIGTERM or SIGINT drains, the next stops.

    Raises `UsageError` when no master or no key is known.
    """
    door = find_master(settings.server, settings.key_file)
    agent = Agent(settings, GridManager(door.servers, door.key, reconnect_for=None, on_wait=_say_waiting))

    def on_signal(number: int, _: FrameType | None) -> None:
        del number
        if agent.is_draining:
            agent.stop()
        else:
            agent.drain()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return agent.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_waiting(why: str) -> None:
    log.warning("master.away", why=why)
