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
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from types import FrameType
from typing import Final

import structlog

from taskgrid.disks import keep_to
from taskgrid.errors import FunctionRefused, TaskGridError
from taskgrid.model import WorkerId, new_id
from taskgrid.settings import WorkerSettings
from taskgrid.transport.known import find_master
from taskgrid.transport.manager import GridManager
from taskgrid.transport.protocol import Bundle, Recheck
from taskgrid.worker.beat import Beat
from taskgrid.worker.leaser import Leaser
from taskgrid.worker.ledger import Ledger
from taskgrid.worker.places import Places
from taskgrid.worker.pool import Pool
from taskgrid.worker.repertoire import SHIPPED, Repertoire
from taskgrid.worker.reporter import Reporter
from taskgrid.worker.slot import Terms

_KNOWN_WITHIN: Final = 10.0
"""Seconds that the master may take to hear what a function declares."""
_WAKE_EVERY: Final = 1.0
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

    def __init__(
        self, settings: WorkerSettings, manager: GridManager, *, any_function: bool = False, main: Path | None = None
    ) -> None:
        """Make a worker that speaks to the master through `manager`, and closes it at its end."""
        self._settings = settings
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._error: TaskGridError | None = None
        self.is_draining = False
        self.id = WorkerId(new_id())
        self.name = settings.name or f"{socket.gethostname()}-{os.getpid()}"
        self._repertoire = Repertoire(settings, any_function=any_function, main=main)
        keep_to(settings.root)  # the agent reads nothing, but says what it sees
        self._places = Places(self._saw)
        wake = threading.Event()
        self._ledger = Ledger(settings.max_buffer_bytes, wake, self._completed, self._ended)
        terms = Terms(self.name, settings.memory_limit, settings.max_tasks_per_child)
        self._pool = Pool(settings.slots, terms, self._repertoire.setup(self.name), self._ledger, self._pool_ended)
        self._beat = Beat(
            self.id,
            self.name,
            settings.slots,
            manager,
            self._ledger,
            offers=self._repertoire.offers,
            places=self._places.seen,
            orders=self,
            wake=wake,
        )
        self._leaser = Leaser(
            self.id,
            manager.get_task_queue(),
            self._pool,
            self._ledger,
            self._beat,
            on_retried=self.retried,
            on_trouble=self.trouble,
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

    def hear_nothing(self, why: str) -> None:
        """Hear that the master does not answer the calling thread, which will try again."""
        log.warning("master.away", why=why)
        self._beat.hear_nothing()

    def dropped(self) -> None:
        """Let the pool go of tasks that are no longer this worker's."""
        self._pool.drop()

    def rechecked(self, rechecks: Sequence[Recheck]) -> None:
        """Look at the offered code again; if it changed, replace the children and say so to the master."""
        threading.Thread(target=self._look_again, args=(rechecks,), name="recheck", daemon=True).start()

    def _look_again(self, rechecks: Sequence[Recheck]) -> None:
        if self._has_other_code():
            log.info("code.changed", functions=[recheck.function for recheck in rechecks])
            self._pool.replace()
            self._beat.enlist_again()

    def asked_to_look(self, places: Sequence[str]) -> None:
        """Look at folders that jobs read, and say to the master what is seen."""
        self._places.look(places)

    def _saw(self) -> None:
        self._beat.enlist_again()

    def retried(self) -> None:
        """Replace the children, so that what somebody brought back runs with the files as they are now."""
        changed = self._has_other_code()
        if changed is not None:
            self._pool.replace()
        if changed:
            self._beat.enlist_again()

    def _has_other_code(self) -> bool | None:
        """Say whether the files differ from what is offered; None if they can't be used."""
        try:
            return self._repertoire.look_again()
        except TaskGridError as error:
            log.warning("code.unusable", why=str(error))
            return None

    def _completed(self, bundle: Bundle) -> Bundle:
        """Return a bundle with what its function declares, if its job does not say and the master did not know.

        The master knows before the tasks begin: it counts their attempts.
        """
        if bundle.code:
            return bundle  # submitted as an object, with all that it declares
        declared, is_news = self._repertoire.declared(bundle.function)
        if is_news:
            self._beat.enlist_now(_KNOWN_WITHIN)
        return bundle.model_copy(update={"options": bundle.options.over(declared)}) if declared else bundle

    def _ended(self) -> None:
        self._reporter.begin()

    def _pool_ended(self, error: TaskGridError | None) -> None:
        self._error = self._error or (error and self._refusal()) or error
        self._orders.put(Order.POOL_ENDED)

    def _refusal(self) -> FunctionRefused | None:
        """Return why nothing can be offered, if so: what task processes came to nothing by, if they were quicker."""
        try:
            self._repertoire.offers()
        except FunctionRefused as error:
            return error
        return None

    # ------------------------------------------------------------ the agent's own thread

    def run(self) -> int:
        """Work until drained, stopped or in trouble; return the exit status."""
        self._start()
        order = self._first_order()
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

    def _first_order(self) -> Order:
        """Wait for an order. It wakes now and then: a signal that another thread got is handled only then.

        Blocking signals in the other threads would have the task processes, and what tasks start, block them too.
        """
        while True:
            with suppress(queue.Empty):
                return self._orders.get(timeout=_WAKE_EVERY)

    def _start(self) -> None:
        settings = self._settings
        log.info("worker.started", worker=self.name, slots=settings.slots, functions=list(self._repertoire.modules))
        if not settings.functions and self._repertoire.modules == SHIPPED:
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


def work(settings: WorkerSettings, *, any_function: bool, main: Path | None) -> int:
    """Be a worker of the master that `settings` or this user's files name; see `taskgrid.worker.run_worker`."""
    door = find_master(settings.server, settings.key_file)

    def on_wait(why: str) -> None:
        agent.hear_nothing(why)

    manager = GridManager(door.servers, door.key, reconnect_for=None, on_wait=on_wait)
    agent = Agent(settings, manager, any_function=any_function, main=main)

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
