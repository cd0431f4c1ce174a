"""The one thread that writes a journal: it commits whatever waits in one go, then answers.

Whoever appends only puts an entry into a queue. The thread takes all that is there (group commit:
the slower the disk, the larger the groups), hands it to the journal as one batch, and calls back
once the batch is committed. When nothing waits it does upkeep in small steps. An error that the
journal does not deal with is fatal: nobody could say what is on disk. It knows no database.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Final, Protocol

import structlog

from taskgrid.errors import JournalError
from taskgrid.journal.protocol import Commit, Group
from taskgrid.model import JobNumber

_log = structlog.get_logger()

EXIT_STATUS: Final = 74
"""EX_IOERR of sysexits.h."""
_BATCH_BYTES: Final = 8 << 20
_BATCHES_PER_STEP: Final = 8  # of upkeep, while there is always something to commit
_STOP_WITHIN: Final = 30.0


@dataclass(frozen=True, slots=True)
class Append:
    """Groups to commit, and whom to tell."""

    groups: Sequence[Group]
    done: Callable[[Commit], None]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A job's state before record `next_record`."""

    job: JobNumber
    next_record: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Forget:
    """A job to drop."""

    job: JobNumber


Entry = Append | Checkpoint | Forget


class Unwritten(Exception):  # a situation of the writer alone: it never leaves this room
    """The journal is being closed, and what is left can't be written: nobody was told it was."""


class Sink(Protocol):
    """What the writer writes to; called on its thread alone."""

    def commit(self, batch: Sequence[Entry]) -> None:
        """Make a batch durable, whole, or raise; Unwritten gives it up at closing."""

    def step(self) -> None:
        """Do one small piece of the upkeep that is due."""

    def due_in(self) -> float | None:
        """Return how many idle seconds to wait before the next step, 0 if it is due; None if there is none."""


def end_process(error: BaseException) -> None:
    """Say why, and end the process at once: what was not committed was not answered either."""
    _log.critical("journal.failed", error=repr(error), exit_status=EXIT_STATUS)
    os._exit(EXIT_STATUS)


def weight(entry: Entry) -> int:
    """Return about how many bytes an entry is, as blobs go."""
    if isinstance(entry, Append):
        return sum(map(_group_weight, entry.groups))
    return len(entry.body) if isinstance(entry, Checkpoint) else 0


def _group_weight(group: Group) -> int:
    return sum(len(row.lines) for row in group.chunks) + sum(len(row.lines) for row in group.outcomes)


class Writer:
    """Owns the thread between `start` and `stop`."""

    def __init__(self, sink: Sink, on_fatal: Callable[[BaseException], None]) -> None:
        self._sink = sink
        self._on_fatal = on_fatal
        self._entries: SimpleQueue[Entry | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="taskgrid-journal", daemon=True)
        self._ended = Event()
        self._since_step = 0

    def start(self) -> None:
        """Begin to commit what is put."""
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Queue an entry for the next commit."""
        self._entries.put(entry)

    def flush(self) -> None:
        """Return when everything put before is committed; JournalError if it never will be."""
        committed = Event()
        self.put(Append((), lambda _: committed.set()))
        while not committed.wait(0.1):
            if self._ended.is_set() and not committed.is_set():
                raise JournalError("the journal was closed, or failed, before everything was committed")

    def stop(self) -> None:
        """Commit what was put and end the thread."""
        self._entries.put(None)
        self._thread.join(_STOP_WITHIN)
        if self._thread.is_alive():
            raise JournalError(
                f"the journal did not close within {_STOP_WITHIN:.0f} s", why="The disk does not answer."
            )

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except Unwritten:
            _log.warning("journal.closed", unwritten="the disk is full: what was not committed was not answered")
        except BaseException as error:  # noqa: BLE001  # whatever it is, nobody may rest on this journal any more
            self._on_fatal(error)
        finally:
            self._ended.set()

    def _turn(self) -> bool:
        batch, goes_on = self._next_batch()
        if batch:
            self._sink.commit(batch)
            _answer(batch)
        self._since_step += 1
        if goes_on and self._is_time_for_upkeep(batch):
            self._since_step = 0
            self._sink.step()
        return goes_on

    def _is_time_for_upkeep(self, batch: Sequence[Entry]) -> bool:
        if not batch:
            return True
        return self._sink.due_in() == 0 and (self._entries.empty() or self._since_step >= _BATCHES_PER_STEP)

    def _next_batch(self) -> tuple[list[Entry], bool]:
        """Wait for something to commit, or for upkeep to be due; False once it is time to end."""
        batch: list[Entry] = []
        size = 0
        try:
            entry = self._wait()
            while entry is not None:
                batch.append(entry)
                size += weight(entry)
                if size >= _BATCH_BYTES:
                    return batch, True
                entry = self._entries.get_nowait()
        except Empty:
            return batch, True
        return batch, False

    def _wait(self) -> Entry | None:
        due_in = self._sink.due_in()
        if due_in == 0:
            return self._entries.get_nowait()
        return self._entries.get(timeout=due_in)


def _answer(batch: Iterable[Entry]) -> None:
    for entry in batch:
        if isinstance(entry, Append):
            entry.done(Commit.COMMITTED)
