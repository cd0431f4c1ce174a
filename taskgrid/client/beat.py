"""The client's sign of life: while a job of its is open, one thread says so every few seconds.

Without it the master seals the job after its grace, at what was accepted. A
job is kept from its first accepted chunk on: before, the master doesn't know it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from taskgrid.client.link import Link
from taskgrid.client.upload import Upload
from taskgrid.errors import TaskGridError
from taskgrid.model import JobId
from taskgrid.transport.protocol import KeepRequest
from taskgrid.transport.proxies import Control

EVERY = 10.0
"""Seconds between beats: far below a job's `client_grace`."""


def _ignore() -> None:
    """Hear nothing."""


class Beat:
    """Beats for the jobs added, from a thread that starts with the first of them."""

    def __init__(self, link: Link, every: float = EVERY) -> None:
        self._link = link
        self._every = every
        self._lock = threading.Lock()
        self._uploads: dict[Upload, Callable[[], None]] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, upload: Upload, closed: Callable[[], None] = _ignore) -> None:
        """Keep the upload's job open; `closed` is called if the master says that it is not open any more."""
        with self._lock:
            self._uploads[upload] = closed
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="taskgrid-beat", daemon=True)
                self._thread.start()

    def drop(self, upload: Upload) -> None:
        """Let go of a job that was sealed."""
        with self._lock:
            self._uploads.pop(upload, None)

    @contextmanager
    def of(self, upload: Upload) -> Iterator[None]:
        """Keep the upload's job open meanwhile."""
        self.add(upload)
        try:
            yield
        finally:
            self.drop(upload)

    def stop(self) -> None:
        """End the thread; its call under way ends when the link is closed."""
        self._stopped.set()

    def join(self, within: float) -> None:
        """Wait for the thread to end."""
        if self._thread is not None:
            self._thread.join(within)

    def _run(self) -> None:
        with self._link.beats() as proxy:
            while not self._stopped.wait(self._every):
                if kept := self._kept():
                    self._beat(proxy, kept)

    def _kept(self) -> dict[JobId, Upload]:
        with self._lock:
            return {each.job: each for each in self._uploads if each.number is not None and not each.sealed}

    def _beat(self, proxy: Control, kept: dict[JobId, Upload]) -> None:
        try:
            reply, _ = proxy.keep(KeepRequest(jobs=tuple(kept)))
        except TaskGridError:
            return  # whoever submits or fetches meets the same error, and has someone to tell
        with self._lock:
            heard = [self._uploads.pop(kept[job], _ignore) for job in reply.closed if job in kept]
        for tell in heard:
            tell()
