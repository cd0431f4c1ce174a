"""Behind `submit`: one open job for all calls of one function, sent in chunks of what has gathered.

    submit ──add──▶ gathered ──flusher──▶ accepted ──collector──▶ resolved

A call that meets a stream at rest is sent from its own thread, without a wait; all that gather until
the answer is there go together, so the first call waits for nothing and a burst costs one round trip
per 2,000. A stream's tasks are numbered here, since nobody else adds to its job. A future belongs to
whoever takes it off the gathered list or the table of those sent: only that thread resolves it.
"""

from __future__ import annotations

import threading
from concurrent.futures import wait
from typing import Any, NamedTuple, Protocol

from taskgrid.client.callee import Callee
from taskgrid.client.control import Control, as_runs
from taskgrid.client.future import TaskFuture
from taskgrid.client.link import Link
from taskgrid.client.outcomes import decode
from taskgrid.client.results import replies
from taskgrid.client.upload import BATCH, Chunk, Upload, cut
from taskgrid.errors import ChunkRefused, TaskGridError
from taskgrid.model import JobNumber
from taskgrid.transport.channel import Ask
from taskgrid.transport.protocol import Order, OutcomeRun
from taskgrid.transport.proxies import TaskQueue

MOST = 1_000_000
"""Tasks of one stream; the next call opens another job, so that the master can forget this one."""


class Keeper(Protocol):
    """What a stream tells whoever holds it."""

    def notice(self, stream: Stream) -> None:
        """Hear that something is to be sent."""

    def idle_proxy(self) -> TaskQueue | None:
        """Return the flusher's proxy if the flusher is at rest."""

    def moved(self, stream: Stream, calls: list[TaskFuture[Any]]) -> None:
        """Take the calls of a stream whose job was closed by the master."""

    def ended(self, stream: Stream) -> None:
        """Hear that nothing of the stream is outstanding, nor will be."""


class _Begun(NamedTuple):
    """The first call gathered, as a chunk that left before the flusher woke."""

    chunk: Chunk
    ask: Ask


class Stream:
    """The open job of one function."""

    def __init__(self, callee: Callee, link: Link, keeper: Keeper) -> None:
        self.callee = callee
        self.upload = Upload(callee.spec())
        self.idle = 0
        """Ticks of the flusher since something was sent."""
        self._codec = callee.codec
        self._link = link
        self._keeper = keeper
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._gathered: list[TaskFuture[Any]] = []
        self._sent: dict[int, TaskFuture[Any]] = {}
        self._made = 0  # calls numbered
        self._accepted = 0  # of these, in the journal
        self._noticed = False
        self._sending = False  # the flusher has the upload in hand
        self._begun: _Begun | None = None
        self._open = True
        self._over = False  # nothing more will be accepted
        self._error: Exception | None = None
        self._left: Exception | None = None  # what ended the collector: calls that were accepted get it
        self._collector: threading.Thread | None = None

    @property
    def open(self) -> bool:
        """Whether calls can be added."""
        return self._open

    @property
    def outstanding(self) -> bool:
        """Whether a future waits for its result."""
        return bool(self._gathered or self._sent)

    def add(self, call: TaskFuture[Any]) -> bool:
        """Gather one call; False if the stream was closed meanwhile."""
        with self._lock:
            if not self._open:
                return False
            call.owner = self
            self._gathered.append(call)
            if self._made + len(self._gathered) >= MOST:
                self._open = False
            if not self._noticed:  # in this order, so that Ctrl-C in between leaves nothing unsent
                self._begin()
                self._keeper.notice(self)
                self._noticed = True
        return True

    def _begin(self) -> None:
        """Send the only call from its own thread if that needs no wait; one that opens or closes the job is left."""
        proxy, call = self._keeper.idle_proxy(), self._gathered[0]
        if not proxy or self._begun or self._sending or not self._open or self.upload.number is None:
            return
        chunk = Chunk(call.payload, 1)
        self._begun = _Begun(chunk, self.upload.prepare(chunk))
        call.index = self._made
        self._sent[self._made] = call  # before it leaves: the result may be here before the flusher wakes
        proxy.begin(self._begun.ask)

    def close(self) -> None:
        """Take nothing more; what has gathered is sent, and the job sealed."""
        with self._changed:
            self._open = False
        self._keeper.notice(self)

    # ---- the flusher's thread

    def send(self, proxy: TaskQueue) -> None:
        """Send what has gathered, and seal the job if the stream is closed."""
        self.idle = 0
        with self._lock:
            self._noticed, self._sending = False, True
            closing = not self._open
            begun, self._begun = self._begun, None
            taken = self._number()
            first = self._made - len(taken)
        try:
            self._send(proxy, taken, begun)
            if closing:
                self._seal(proxy)
        except Exception as error:  # noqa: BLE001  # whatever it is, somebody waits for these futures
            self._refused(taken[self._accepted - first :], error)
        finally:
            self._sending = False
        self._fail_left()

    def _number(self) -> list[TaskFuture[Any]]:
        taken, self._gathered = self._gathered, []
        for index, future in enumerate(taken, self._made):
            if future.index is None:  # else it was begun, and its result may be here
                future.index = index
                self._sent[index] = future
        self._made += len(taken)
        return taken

    def _send(self, proxy: TaskQueue, taken: list[TaskFuture[Any]], begun: _Begun | None) -> None:
        if begun:
            self._send_one(proxy, begun.chunk, begun.ask)
        for start in range(1 if begun else 0, len(taken), BATCH):
            for chunk in cut([each.payload for each in taken[start : start + BATCH]]):
                self._send_one(proxy, chunk)

    def _send_one(self, proxy: TaskQueue, chunk: Chunk, begun: Ask | None = None) -> None:
        self.upload.send(proxy, chunk, begun=begun)
        with self._changed:
            self._accepted += chunk.count
            self._changed.notify_all()
        self._start_collector()

    def _seal(self, proxy: TaskQueue) -> None:
        if self.upload.number is None:
            self._keeper.ended(self)  # no call came, or all were taken back: there is no job
        else:
            self.upload.seal(proxy)

    def _refused(self, lost: list[TaskFuture[Any]], error: Exception) -> None:
        """Close. Calls that were not accepted go to another job if this one was closed, else they fail."""
        moves = isinstance(error, ChunkRefused) and self.upload.number is not None
        with self._changed:
            self._open, self._over = False, True
            for future in lost:
                self._sent.pop(future.index or 0, None)
            lost += self._gathered
            self._gathered = []
            self._error = error if lost and not moves else None
        if moves:
            self._keeper.moved(self, lost)
        else:
            _fail(lost, error)
        with self._changed:
            self._changed.notify_all()
        if self._collector is None:
            self._keeper.ended(self)

    # ---- the collector's thread

    def _start_collector(self) -> None:
        if self._collector is None:
            name = f"taskgrid-results-{self.upload.number}"
            self._collector = threading.Thread(target=self._collect, name=name, daemon=True)
            self._collector.start()

    def _collect(self) -> None:
        try:
            for reply, parts in replies(self._link, self.upload.job, Order.ARRIVAL, ahead=True):
                for row, part in zip(reply.rows, parts, strict=True):
                    self._resolve(row, part)
            left: Exception = TaskGridError(f"job {self.upload.number} ended without this task's result")
        except Exception as error:  # noqa: BLE001  # likewise
            left = error
        with self._changed:
            self._open, self._left = False, left
        self._fail_left()
        self._keeper.ended(self)

    def _fail_left(self) -> None:
        """Once the collector has ended: fail what was accepted. The rest is in the flusher's hand, and its business."""
        if self._left:
            with self._lock:
                accepted = [index for index in self._sent if index < self._accepted]
                lost = [self._sent.pop(index) for index in accepted]
            _fail(lost, self._left)

    def _resolve(self, row: OutcomeRun, part: bytes) -> None:
        batch = decode(self._codec, self.upload.number or JobNumber(0), row, part)
        for index, outcome in enumerate(batch.outcomes, row.first):
            # Nobody waits for it if it was retried, or given before the cursor was set back.
            if future := self._sent.pop(index, None):
                if batch.mixed:
                    future.resolve(outcome)
                else:
                    future.set_result(outcome)

    def join(self, within: float | None = None) -> None:
        """Wait until every result is there."""
        if self._collector is not None:
            self._collector.join(within)

    # ---- the callers' threads

    def settle(self) -> None:
        """Wait until every call made so far is accepted, or raise what stopped it."""
        with self._changed:
            goal = self._made + len(self._gathered)
            self._changed.wait_for(lambda: self._over or self._accepted >= min(goal, self._made + len(self._gathered)))
            if self._error:
                raise self._error

    def address(self, index: int) -> str:
        """Return a task's address, empty before the job has a number."""
        return "" if self.upload.number is None else f"{self.upload.number}.{index}"

    def cancel(self, future: TaskFuture[Any]) -> bool:
        """Take the future's task back if no worker holds it; say whether it was so."""
        if self._withdraw(future):
            future.end_cancelled()
            return True
        accepted = self._await_accepted(future)
        if future.owner is not self:
            return future.cancel()
        if accepted and self._control().cancel_unleased(self.upload.job, future.index or 0):
            if self._sent.pop(future.index or 0, None):
                future.end_cancelled()
            wait([future])  # else the collector has it in hand
        return future.cancelled()

    def _control(self) -> Control:
        return Control(self._link.control)

    def _withdraw(self, future: TaskFuture[Any]) -> bool:
        with self._changed:
            at = next((at for at, call in enumerate(self._gathered) if call is future), None)
            if at is None or (at == 0 and self._begun):
                return False
            del self._gathered[at]
            self._changed.notify_all()
            return True

    def _await_accepted(self, future: TaskFuture[Any]) -> bool:
        def accepted() -> bool:
            return future.index is not None and self._accepted > future.index

        with self._changed:
            self._changed.wait_for(lambda: self._over or accepted())
            return accepted()

    def cancel_waiting(self) -> None:
        """Take back every call that no worker holds."""
        with self._changed:
            begun = 1 if self._begun else 0
            gathered, self._gathered = self._gathered[begun:], self._gathered[:begun]
            self._changed.notify_all()
        for future in gathered:
            future.end_cancelled()
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._accepted >= self._made + len(self._gathered))
        for index in self._control().cancel_waiting(self.upload.job, as_runs(sorted(self._sent))):
            if taken := self._sent.pop(index, None):
                taken.end_cancelled()


def _fail(futures: list[TaskFuture[Any]], error: Exception) -> None:
    for future in futures:
        future.resolve(error)
