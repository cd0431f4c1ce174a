"""The leaser: one thread that asks the master for work whenever the pool has room for some.

One long poll at a time. It asks for nothing before the beat has enlisted the worker, and after a
reconnect not before the beat has taken the held leases up again. It runs nothing itself.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from taskgrid.errors import NotLetIn, TaskGridError, VersionMismatch
from taskgrid.model import JobNumber, WorkerId
from taskgrid.transport.channel import ChannelClosed
from taskgrid.transport.protocol import Bundle, LeaseRequest
from taskgrid.transport.proxies import TaskQueue
from taskgrid.worker.beat import Beat
from taskgrid.worker.ledger import Ledger
from taskgrid.worker.pool import Pool

LONG_POLL: Final = 20.0
"""Seconds the master may hold a request for work."""
_LOOK: Final = 1.0
"""Seconds between two looks at whether the worker ends."""
_AFTER_REFUSAL: Final = 1.0

log = structlog.get_logger()


class Leaser:
    """Keeps the pool in work."""

    def __init__(
        self,
        worker: WorkerId,
        queue: TaskQueue,
        pool: Pool,
        ledger: Ledger,
        beat: Beat,
        *,
        on_retried: Callable[[], None],
        on_trouble: Callable[[TaskGridError], None],
    ) -> None:
        """Ask for `worker`; `on_retried` is called before tasks run that somebody brought back."""
        self._worker = worker
        self._queue = queue
        self._pool = pool
        self._ledger = ledger
        self._beat = beat
        self._on_retried = on_retried
        self._on_trouble = on_trouble
        self._retries: dict[JobNumber, int] = {}
        self._generation = 0
        self._nonces = map(str, itertools.count(1))  # the worker's id is new at each start: a number is enough
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leaser", daemon=True)

    def start(self) -> None:
        """Start asking."""
        self._thread.start()

    def stop(self, within: float) -> None:
        """Ask no more, and break off a request that waits."""
        self._ending.set()
        self._pool.demand.nudge()
        self._queue.close()
        self._thread.join(within)

    def _run(self) -> None:
        while not self._ending.is_set():
            if not self._beat.wait_enlisted(_LOOK):
                continue
            bundles, idle = self._pool.demand.wait(_LOOK, unless=self._ending)
            if bundles:
                self._ask(bundles, idle)

    def _ask(self, bundles: int, idle: int) -> None:
        try:
            self._lease(
                LeaseRequest(worker=self._worker, nonce=next(self._nonces), bundles=bundles, idle=idle, wait=LONG_POLL)
            )
        except ChannelClosed:
            self._ending.set()
        except (NotLetIn, VersionMismatch) as error:
            self._ending.set()
            self._on_trouble(error)
        except TaskGridError as error:
            log.warning("lease.refused", why=str(error))
            self._ending.wait(_AFTER_REFUSAL)

    def _lease(self, request: LeaseRequest) -> None:
        asked_at = time.monotonic()
        reply, parts = self._queue.lease(request)
        if reply.bundles:
            self._note_retries(reply.bundles)
            self._pool.accept(self._ledger.enter(reply.bundles, parts, asked_at, reply.ttl))
        if not reply.known:
            self._beat.is_unknown()
        elif self._queue.generation != self._generation:
            self._beat.soon()
        self._generation = self._queue.generation
        self._beat.asked(reply)

    def _note_retries(self, bundles: Sequence[Bundle]) -> None:
        known, told = self._retries, {bundle.job: bundle.retries for bundle in bundles if bundle.retries}
        if any(known.get(job) != retries for job, retries in told.items()):
            known.update(told)
            self._on_retried()
