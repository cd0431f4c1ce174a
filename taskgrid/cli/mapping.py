"""One `taskgrid map` from its items to its last line: a thread sends while this one prints.

An interrupt cancels the job and says so; a kill leaves it running, sealed by the master at what was
accepted. When sending fails, what was accepted is cancelled, so that printing comes to its end and
the failure is told.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from taskgrid.cli.outcomes import as_objects, as_values
from taskgrid.cli.payloads import are_on_stdin, payload_batches
from taskgrid.cli.progress import summary
from taskgrid.cli.reader import Reader, writing
from taskgrid.cli.tables import ended, failed
from taskgrid.cli.terminal import say
from taskgrid.cli.watching import Watcher
from taskgrid.client.beat import Beat
from taskgrid.client.control import Control
from taskgrid.client.upload import BATCH, EMPTY, Chunk, Packer, Upload
from taskgrid.errors import TaskGridError, TooLarge
from taskgrid.settings import how_to_raise
from taskgrid.transport.protocol import Selector

if TYPE_CHECKING:
    from taskgrid.cli.merged import Merged
    from taskgrid.client.link import Link
    from taskgrid.model import JobSpec, JobView
    from taskgrid.settings import GridSettings
    from taskgrid.transport.proxies import TaskQueue


Noticing = Callable[[Iterator[Chunk]], Iterator[Chunk]]


class Show(NamedTuple):
    """Where results go, and whether bare."""

    out: Path | None
    values: bool


class Sending(NamedTuple):
    """What a job is made of, as it comes."""

    batches: Iterator[list[bytes]]
    """Payload lines."""
    lively: bool
    """Whether each batch goes at once; else the last one goes as the job's last."""

    @classmethod
    def of(cls, items: list[str], spec: JobSpec, *, jsonl: bool) -> Self:
        """Return what a command was given: lines of stdin go as they come, unless a key means the same chunks again."""
        lively = are_on_stdin(items) and spec.key is None
        return cls(payload_batches(items, jsonl=jsonl, most=BATCH, lively=lively), lively)

    def to(self, upload: Upload, proxy: TaskQueue, settings: GridSettings, noticing: Noticing = iter) -> None:
        """Send all of it and seal the job; `noticing` sees the chunks pass."""
        chunks = noticing(self._chunks(settings))
        if not self.lively:
            upload.send_all(proxy, chunks)
            return
        for chunk in chunks:
            upload.send(proxy, chunk)
        upload.seal(proxy)

    def _chunks(self, settings: GridSettings) -> Iterator[Chunk]:
        def as_they_are(batch: list[bytes], first: int) -> list[bytes]:
            _refuse_large(batch, first, settings.max_payload_bytes)
            return batch

        packer = Packer(as_they_are)
        for batch in self.batches:
            yield from packer.pack(batch)


def _refuse_large(batch: list[bytes], first: int, limit: int) -> None:
    if max(map(len, batch)) <= limit:
        return
    index, size = next((index, len(line)) for index, line in enumerate(batch, first) if len(line) > limit)
    raise TooLarge(
        f"item {index} is {size:,} bytes as JSON",
        why=f"A payload may have {limit:,} bytes.",
        hint=f"Write it to shared storage and pass its path, or {how_to_raise('max_payload_bytes', 'grid')}.",
        setting="max_payload_bytes",
    )


class Mapping:
    """A job that is submitted and read at once."""

    def __init__(self, link: Link, settings: GridSettings, spec: JobSpec, show: Show) -> None:
        self._link = link
        self._settings = settings
        self._show = show
        self._merged = _merged(spec)
        self._control = Control(link.control)
        self._watcher = Watcher(link)
        self._upload = Upload(spec)
        self._beat = Beat(link)
        self._known = threading.Event()
        self._error: BaseException | None = None

    def run(self, sending: Sending) -> JobView:
        """Return the job as it ended, its results printed."""
        began = time.monotonic()
        sender = threading.Thread(target=self._send, args=(sending,), name="taskgrid-sender", daemon=True)
        with self._watcher:
            sender.start()
            try:
                self._known.wait()
                self._print()
            except KeyboardInterrupt:
                self._watcher.make_room()
                self._interrupted()
                raise
        if self._error is not None:
            raise self._error
        return self._summed_up(time.monotonic() - began)

    def _send(self, sending: Sending) -> None:
        try:
            with self._beat.of(self._upload), self._link.tasks() as proxy:
                sending.to(self._upload, proxy, self._settings, self._noticing)
        except BaseException as error:  # noqa: BLE001  # told by the thread that prints
            self._error = error
            self._take_back()
        finally:
            self._beat.stop()
            self._known.set()

    def _noticing(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Pass chunks on, and notice when the first was accepted: at the latest before the third is asked for."""
        for chunk in chunks:
            yield chunk
            if self._upload.number is not None:
                self._known.set()

    def _take_back(self) -> None:
        if self._upload.number is None:
            return
        with suppress(TaskGridError), self._link.tasks() as proxy:
            self._upload.send(proxy, EMPTY, seal=True)
            self._control.cancel(self._selector())

    def _print(self) -> None:
        if self._upload.number is None:
            return
        self._watcher.watch(self._upload.job)
        if self._merged is not None:
            self._merged.write(self._link, self._upload.job, self._upload.number, self._show.out)
            return
        reader = Reader(self._link, self._upload.job, self._upload.number)
        with writing(self._show.out) as target:
            shared = self._show.out is None and sys.stdout.isatty()
            for outcomes in reader.in_order():
                values = self._show.values
                lines = as_values(outcomes) if values else as_objects(outcomes, reader.payloads(outcomes.run))
                if shared:
                    self._watcher.make_room()
                target.write(b"\n".join(lines) + b"\n")
                target.flush()

    def _interrupted(self) -> None:
        if self._upload.number is None:
            say("interrupted before anything was accepted")
            return
        before = self._control.job(self._selector())
        self._control.cancel(self._selector())
        say(f"cancelled job {before.number}: {ended(before):,} of {before.total:,} tasks had ended")

    def _summed_up(self, seconds: float) -> JobView:
        view = self._control.job(self._selector())
        if sys.stderr.isatty() or failed(view):
            say(summary(view, seconds))
        if failed(view):
            say(f"  next: taskgrid results {view.number} --failed")
        return view

    def _selector(self) -> Selector:
        return Selector(job=self._upload.job)


def _merged(spec: JobSpec) -> Merged | None:
    """Import what merges a job's values before anything is sent; None if nothing does."""
    if spec.reduce is None:
        return None
    from taskgrid.cli.merged import Merged

    return Merged(spec.function, spec.reduce.how)
