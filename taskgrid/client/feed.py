"""Behind `map`: a job fed from an iterable by one thread while another reads its results in order.

At most `window` tasks are under way (submitted, and not read yet), so an endless iterable works. A
batch starts with one item and doubles while the iterable keeps up: a quick one costs few messages,
and a slow one's items leave as they come.

The reader ends in one of three ways. It closes its iterator: the rest is cancelled. It meets an
error: what is within the window is submitted and runs. The Grid is shut down: what is within the
window is submitted, and its results are kept for the reader.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from taskgrid.client.beat import Beat
from taskgrid.client.control import Control
from taskgrid.client.link import Link
from taskgrid.client.outcomes import Batch, Codec
from taskgrid.client.results import POLL, Deadline, Source, batches
from taskgrid.client.upload import BATCH, Chunk, Packer, Upload
from taskgrid.clock import SystemClock
from taskgrid.errors import TaskGridError
from taskgrid.model import JobSpec
from taskgrid.transport.protocol import Selector
from taskgrid.transport.proxies import TaskQueue

_CLOCK = SystemClock()

_KEEPS_UP = 0.02
"""Seconds in which a batch must be gathered for the next to be larger."""

_STEP = 256
"""Tasks read before the feeder hears of it."""

_PATIENCE = 5.0
"""Seconds that closing an iterator may take when the master is away."""


class Feed:
    """One `map`."""

    def __init__(
        self, link: Link, beat: Beat, codec: Codec, *, spec: JobSpec, window: int, ended: Callable[[Feed], None]
    ) -> None:
        self.upload = Upload(spec)
        self._beat = beat
        self._codec = codec
        self._link = link
        self._window = window
        self._ended = ended
        self._moved = threading.Condition()
        self._sending = threading.Lock()
        self._pulling = threading.Lock()
        self._submitted = 0
        self._read = 0
        self._hungry = False  # the feeder waits for room
        self._bounded = False  # nobody reads on: a full window is the end
        self._stopped = False
        self._fed = self._left = False  # what keeps the Grid from forgetting it
        self._begun = threading.Event()  # there is a job, or there will be none
        self._error: BaseException | None = None
        self._kept: deque[Batch] = deque()
        self._source: Iterator[Batch] = iter(())

    def start(self, items: Iterable[Any], packer: Packer, timeout: float | None) -> Generator[Any, None, None]:
        """Begin to feed, and return the results."""
        reader = self._results(self._batches(Deadline(timeout)))
        next(reader)  # enters, so that from now on closing or dropping it is heard
        threading.Thread(target=self._feed, args=(items, packer), name="taskgrid-map", daemon=True).start()
        return reader

    # ---- the feeder's thread

    def _feed(self, items: Iterable[Any], packer: Packer) -> None:
        try:
            with self._beat.of(self.upload), self._link.tasks() as proxy:
                self._send_all(proxy, items, packer)
                self._seal(proxy)
        except BaseException as error:  # noqa: BLE001  # what went wrong is the reader's, whatever it is
            self._error = self._error or error
        finally:
            self._begun.set()
            self._leave(fed=True)

    def _send_all(self, proxy: TaskQueue, items: Iterable[Any], packer: Packer) -> None:
        try:
            for batch in self._gather(iter(items)):
                for chunk in packer.pack(batch):
                    self._send(proxy, chunk)
        except BaseException as error:  # noqa: BLE001  # likewise, and known before the job can be complete
            self._error = self._error or error

    def _leave(self, *, fed: bool = False, left: bool = False) -> None:
        with self._moved:
            self._fed, self._left = self._fed or fed, self._left or left
            self._bounded = self._bounded or left
            self._moved.notify_all()
        if self._fed and self._left:
            self._ended(self)

    def _gather(self, source: Iterator[Any]) -> Iterator[list[Any]]:
        size = 1
        while not (self._stopped or (room := self._wait_for_room(size)) == 0):
            begun_at = _CLOCK.now()
            batch = list(islice(source, min(size, room)))
            if not batch:
                return
            quick = _CLOCK.now() - begun_at < _KEEPS_UP
            size = min(2 * size, BATCH) if quick else max(1, size // 2)
            yield batch
        if not (self._stopped or self._left) and next(source, self) is not self:
            raise TaskGridError(
                "the Grid was shut down before its map was read",
                why=f"{self._submitted:,} tasks were under way, and the iterable had more",
                hint="read a map inside the `with` block of its Grid, or give the Grid a larger window",
            )

    def _wait_for_room(self, size: int) -> int:
        """Return how many tasks may be submitted; 0 at the end."""
        enough = min(size, max(1, self._window // 2))
        with self._moved:
            self._hungry = True
            self._moved.wait_for(lambda: self._stopped or self._bounded or self._room() >= enough)
            self._hungry = False
            return max(0, self._room())

    def _room(self) -> int:
        return self._window - self._submitted + self._read

    def _send(self, proxy: TaskQueue, chunk: Chunk) -> None:
        with self._sending:
            if self._stopped:
                return
            self.upload.send(proxy, chunk)
        self._submitted += chunk.count
        self._begun.set()

    def _seal(self, proxy: TaskQueue) -> None:
        """Say that nothing more comes, and cancel the job if its reader has closed the iterator."""
        with self._sending:
            if self.upload.number is None:
                return
            self.upload.seal(proxy)
            if self._stopped:
                Control(self._link.control).cancel(Selector(job=self.upload.job))

    # ---- the reader's thread

    def _results(self, source: Iterator[Batch]) -> Generator[Any, None, None]:
        self._source = source
        try:
            yield None
            while (batch := self._pull()) is not None:
                at = batch.first_error()
                yield from self._counted(batch.outcomes if at is None else batch.outcomes[:at])
                if at is not None:
                    raise batch.outcomes[at]
            if self._error is not None:
                raise self._error
        except GeneratorExit:
            self.abort()
            raise
        finally:
            self._leave(left=True)

    def _batches(self, deadline: Deadline) -> Iterator[Batch]:
        while not self._begun.wait(deadline.left(POLL)):
            deadline.check()
        if self.upload.number is not None:
            source = Source(self._link, self.upload.job, self.upload.number, self._codec)
            yield from batches(source, deadline)

    def _pull(self) -> Batch | None:
        with self._pulling:
            return self._kept.popleft() if self._kept else next(self._source, None)

    def _counted(self, outcomes: list[Any]) -> Iterator[Any]:
        for start in range(0, len(outcomes), _STEP):
            step = outcomes[start : start + _STEP]
            yield from step
            self._read += len(step)
            if self._hungry:
                with self._moved:
                    self._moved.notify_all()

    # ---- the Grid's calls

    def abort(self) -> None:
        """Submit no more and cancel what has not ended; not longer than closing an iterator may take."""
        self._stopped = True
        with self._moved:
            self._moved.notify_all()
        with suppress(RuntimeError):  # no thread starts any more when the interpreter ends
            canceller = threading.Thread(target=self._cancel, name="taskgrid-map-cancel", daemon=True)
            canceller.start()
            canceller.join(_PATIENCE)

    def _cancel(self) -> None:
        with suppress(TaskGridError), self._link.tasks() as proxy:
            self._seal(proxy)

    def settle(self) -> None:
        """Wait until everything within the window is submitted, and keep its results for the reader."""
        with self._moved:
            self._bounded = True
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._fed)
        while not self._left and self._keep_one():
            pass

    def _keep_one(self) -> bool:
        with self._pulling:
            try:
                batch = next(self._source, None)
            except Exception as error:  # noqa: BLE001  # whatever it is, the reader meets it in its place
                self._error = self._error or error
                return False
            if batch is not None:
                self._kept.append(batch)
            return batch is not None
