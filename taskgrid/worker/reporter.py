"""The reporter: one thread that carries outcomes to the master, many leases in one request.

While one request is under way the next outcomes gather, so the faster they come the more go at
once. When none is, whoever adds outcomes sends them off itself, and the thread waits for the answer:
to wake it first would take as long as all that is done for a small report. What the master can't take
yet waits in the ledger. It never looks into an outcome.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

import structlog

from taskgrid.errors import NotLetIn, TaskGridError, VersionMismatch
from taskgrid.model import Verdict, WorkerId
from taskgrid.scheduler.runs import count
from taskgrid.transport.channel import Ask, ChannelClosed
from taskgrid.transport.protocol import Judged, ReportRequest
from taskgrid.transport.proxies import ResultQueue, prepared
from taskgrid.worker.held import Ended
from taskgrid.worker.ledger import Ledger
from taskgrid.worker.publishing import publish

_LOOK: Final = 1.0
"""Seconds between two looks at whether the worker ends."""
_AFTER_LATER: Final = 1.0
"""Seconds to wait when the master said *later*, or refused."""
_REFUSED: Final = frozenset({Verdict.STALE, Verdict.CANCELLED})

log = structlog.get_logger()


class _Request(NamedTuple):
    """Outcomes and how they are reported."""

    batch: Sequence[Ended]
    ask: Ask


class Reporter:
    """Reports what ended."""

    def __init__(
        self, worker: WorkerId, queue: ResultQueue, ledger: Ledger, on_trouble: Callable[[TaskGridError], None]
    ) -> None:
        self._worker = worker
        self._queue = queue
        self._ledger = ledger
        self._on_trouble = on_trouble
        self._ending = threading.Event()
        self._begun: SimpleQueue[_Request | None] = SimpleQueue()
        self._is_at_rest = False
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        """Start reporting."""
        self._thread.start()

    def stop(self, within: float) -> bool:
        """Report what waits, then end; say whether everything was reported in that many seconds."""
        reported = self._ledger.wait_reported(within)
        self._ending.set()
        self._begun.put(None)
        self._queue.close()
        self._thread.join(_LOOK * 2)
        return reported

    def begin(self) -> None:
        """Hear that outcomes wait; for the thread that added them."""
        request = self._next() if self._is_at_rest else None
        if request is not None:
            self._queue.begin(request.ask)
        self._begun.put(request)

    def _run(self) -> None:
        while not self._ending.is_set():
            request = self._rest() or self._next()
            while request is not None:
                self._carry(request)
                request = None if self._ending.is_set() else self._next()

    def _rest(self) -> _Request | None:
        """Wait for outcomes; return the request if there is one under way already."""
        self._is_at_rest = True
        try:
            return self._begun.get(timeout=_LOOK)
        except Empty:
            return None
        finally:
            self._is_at_rest = False

    def _next(self) -> _Request | None:
        batch = self._ledger.next_batch()
        if not batch:
            return None
        request = ReportRequest(worker=self._worker, reports=self._ledger.as_reports(batch))
        return _Request(batch, prepared("report", request, tuple(ended.lines for ended in batch)))

    def _carry(self, request: _Request) -> None:
        try:
            self._report(*request)
        except ChannelClosed:
            self._ledger.unsettle(request.batch)
            self._ending.set()
        except TaskGridError as error:
            self._ledger.unsettle(request.batch)
            if isinstance(error, NotLetIn | VersionMismatch):
                self._ending.set()
                self._on_trouble(error)
            log.warning("report.failed", why=str(error))
            self._ending.wait(_AFTER_LATER)

    def _report(self, batch: Sequence[Ended], ask: Ask) -> None:
        reply, _ = self._queue.report(ask)
        publish(batch, reply.reports)  # before they are settled: a worker that leaves has published what it reported
        later = self._ledger.settle(batch, reply.reports)
        _log_what_was_refused(batch, reply.reports)
        if later:
            log.warning("report.delayed", why="the master's journal is full; outcomes wait here")
            self._ending.wait(_AFTER_LATER)


def _log_what_was_refused(batch: Sequence[Ended], answers: Sequence[Sequence[Judged]]) -> None:
    for ended, judged in zip(batch, answers, strict=True):
        told = [answer for answer in judged if answer.verdict in _REFUSED]
        if told:
            refused: Counter[str] = Counter()
            for answer in told:
                refused[answer.verdict] += count(answer.runs)
            log.info("report.refused", job=ended.lease.job, token=str(ended.lease.token), **refused)
