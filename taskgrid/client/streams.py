"""The streams of a Grid, one per function, and the thread that sends what they gather."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import Any

from taskgrid.client.beat import Beat
from taskgrid.client.callee import Callee
from taskgrid.client.future import TaskFuture
from taskgrid.client.link import Link
from taskgrid.client.stream import Stream
from taskgrid.errors import TaskGridError
from taskgrid.transport.proxies import TaskQueue

_TICK = 10.0
"""Seconds without a call after which the flusher looks for idle streams."""

_IDLE_TICKS = 60
"""A stream without calls or results for so many ticks is sealed, and its thread and connection end."""


class Streams:
    """Takes calls, each to the open job of its function."""

    def __init__(self, link: Link, beat: Beat) -> None:
        self._link = link
        self._beat = beat
        self._lock = threading.Lock()
        self._current: dict[Callee, Stream] = {}
        self._callees: dict[Stream, Callee] = {}
        self._work: queue.SimpleQueue[Stream | None] = queue.SimpleQueue()
        self._flusher: threading.Thread | None = None
        self._proxy: TaskQueue | None = None
        self._at_rest = False

    def submit(self, callee: Callee, line: bytes) -> TaskFuture[Any]:
        """Gather a call; `line` is its payload."""
        stream = self._current.get(callee) or self._open(callee)
        call: TaskFuture[Any] = TaskFuture(stream, line)
        while not stream.add(call):
            stream = self._open(callee)
        return call

    def _open(self, callee: Callee) -> Stream:
        with self._lock:
            stream = self._current.get(callee)
            if stream is not None and stream.open:
                return stream
            if stream is not None:
                self.notice(stream)  # to be sealed
            stream = self._current[callee] = Stream(callee, self._link, self)
            self._callees[stream] = callee
            self._start()
        self._beat.add(stream.upload, stream.close)
        return stream

    def _start(self) -> None:
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush, name="taskgrid-flusher", daemon=True)
            self._flusher.start()

    # ---- what streams tell

    def notice(self, stream: Stream) -> None:
        """Hear that something is to be sent."""
        self._work.put(stream)

    def idle_proxy(self) -> TaskQueue | None:
        """Return the flusher's proxy if the flusher is at rest."""
        return self._proxy if self._at_rest and self._work.empty() else None

    def moved(self, stream: Stream, calls: list[TaskFuture[Any]]) -> None:
        """Put the calls of a job that was closed into another."""
        callee = stream.callee
        for call in calls:
            call.index = None
            while not self._open(callee).add(call):
                pass

    def ended(self, stream: Stream) -> None:
        """Forget a stream."""
        self._beat.drop(stream.upload)
        with self._lock:
            callee = self._callees.pop(stream, None)
            if callee is not None and self._current.get(callee) is stream:
                del self._current[callee]

    # ---- the flusher's thread

    def _flush(self) -> None:
        with self._link.tasks() as proxy:
            self._proxy = proxy
            while True:
                self._at_rest = True
                try:
                    stream = self._work.get(timeout=_TICK)
                except queue.Empty:
                    self._tick()
                    continue
                finally:
                    self._at_rest = False
                if stream is None:
                    return
                stream.send(proxy)

    def _tick(self) -> None:
        for stream in self.all():
            stream.idle += 1
            if stream.idle >= _IDLE_TICKS and not stream.outstanding:
                stream.close()

    # ---- the Grid's calls

    def all(self) -> list[Stream]:
        """Return the streams that may have something outstanding."""
        with self._lock:
            return list(self._callees)

    def settle(self) -> None:
        """Wait until every call made so far is accepted, or raise what stopped one."""
        for stream in self.all():
            stream.settle()

    def cancel_waiting(self) -> None:
        """Take back every call that no worker holds."""
        for stream in self.all():
            with suppress(TaskGridError):
                stream.cancel_waiting()

    def close(self) -> None:
        """Seal all; what has gathered is sent before."""
        for stream in self.all():
            stream.close()
        self._work.put(None)

    def join_flusher(self, within: float | None = None) -> None:
        """After `close`: wait until everything is sent."""
        if self._flusher is not None:
            self._flusher.join(within)

    def join(self) -> None:
        """After `close`: wait until everything is sent and every result is there."""
        self.join_flusher()
        for stream in self.all():
            stream.join()
