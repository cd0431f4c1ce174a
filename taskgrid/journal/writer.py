"""How a journal is written: whatever waits is committed in one go, then answered.

Whoever appends only puts an entry into a line. Whoever has the *turn* takes all that is there (group
commit: the slower the disk, the larger the groups), hands it to the journal as one batch, and calls
back once the batch is committed. That is the writer's thread, or one that is about to wait anyway
(`commit_now`): on a quiet grid a commit then costs no change of threads, which is most of its time.
When nothing waits the thread does upkeep in small steps. An error that the journal does not deal with
is fatal: nobody could say what is on disk. It knows no database.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Final, NamedTuple, Protocol

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
_LOOK: Final = 0.5
"""Seconds after which the thread looks unasked: an entry put without `wake` never waits longer."""


class Append(NamedTuple):
    """Groups to commit, and whom to tell."""

    groups: Sequence[Group]
    done: Callable[[Commit], None]


class Checkpoint(NamedTuple):
    """A job's state before record `next_record`."""

    job: JobNumber
    next_record: int
    body: bytes


class Forget(NamedTuple):
    """A job to drop."""

    job: JobNumber


Entry = Append | Checkpoint | Forget


class Unwritten(Exception):  # a situation of the writer alone: it never leaves this room
    """The journal is being closed, and what is left can't be written: nobody was told it was."""


class Sink(Protocol):
    """What the writer writes to; called by whoever has the turn, one at a time."""

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
    size = 0
    for chunk in group.chunks:
        size += len(chunk.lines)
    for outcome in group.outcomes:
        size += len(outcome.lines)
    return size


class Writer:
    """Owns the thread between `start` and `stop`, and the turn."""

    def __init__(self, sink: Sink, on_fatal: Callable[[BaseException], None]) -> None:
        self._sink = sink
        self._on_fatal = on_fatal
        self._entries: deque[Entry] = deque()
        self._turn = Lock()
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._ending = False
        self._thread = Thread(target=self._run, name="taskgrid-journal", daemon=True)
        self._ended = Event()
        self._since_step = 0

    def start(self) -> None:
        """Begin to commit what is put."""
        self._thread.start()

    def put(self, entry: Entry, *, wake: bool = True) -> None:
        """Line an entry up for the next commit; without `wake` the caller says `commit_now` soon."""
        self._entries.append(entry)
        if wake:
            self._wakes.put(None)

    def commit_now(self) -> None:
        """Commit what waits on this thread, unless another is at it: that one sees to what came meanwhile."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            if not self._ended.is_set():
                self._commit_all()
        finally:
            self._turn.release()
        if self._entries:
            self._wakes.put(None)

    def flush(self) -> None:
        """Return when everything put before is committed; JournalError if it never will be."""
        committed = Event()
        self.put(Append((), lambda _: committed.set()))
        while not committed.wait(0.1):
            if self._ended.is_set() and not committed.is_set():
                raise JournalError("the journal was closed, or failed, before everything was committed")

    def stop(self) -> None:
        """Commit what was put and end the thread."""
        self._ending = True
        self._wakes.put(None)
        self._thread.join(_STOP_WITHIN)
        if self._thread.is_alive():
            raise JournalError(
                f"the journal did not close within {_STOP_WITHIN:.0f} s", why="The disk does not answer."
            )

    def _run(self) -> None:
        while not self._ended.is_set():
            ending = self._ending
            with self._turn:
                has_written = self._commit_all()
                self._upkeep(idle=not has_written)
            if ending and not self._entries:
                break
            if not self._entries:
                self._wait()
        self._ended.set()

    def _commit_all(self) -> bool:
        """Commit one batch of what waits; say whether there was any. Needs the turn."""
        batch = self._next_batch()
        if batch:
            self._guarded(self._commit, batch)
        return bool(batch)

    def _commit(self, batch: Sequence[Entry]) -> None:
        self._sink.commit(batch)
        _answer(batch)
        self._since_step += 1

    def _upkeep(self, *, idle: bool) -> None:
        if self._ending or self._ended.is_set() or self._sink.due_in() != 0:
            return
        if idle or not self._entries or self._since_step >= _BATCHES_PER_STEP:
            self._since_step = 0
            self._guarded(self._sink.step)

    def _guarded(self, work: Callable[..., None], *what: Sequence[Entry]) -> None:
        try:
            work(*what)
        except Unwritten:
            self._ended.set()
            _log.warning("journal.closed", unwritten="the disk is full: what was not committed was not answered")
        except BaseException as error:  # noqa: BLE001  # whatever it is, nobody may rest on this journal any more
            self._ended.set()
            self._on_fatal(error)

    def _next_batch(self) -> list[Entry]:
        batch: list[Entry] = []
        size = 0
        while self._entries and size < _BATCH_BYTES:
            batch.append(self._entries.popleft())
            if self._entries:  # else its weight decides nothing
                size += weight(batch[-1])
        return batch

    def _wait(self) -> None:
        """Sleep until there is something to commit, or upkeep is due; look now and then in any case."""
        due_in = self._sink.due_in()
        try:
            self._wakes.get(timeout=_LOOK if due_in is None else min(due_in, _LOOK))
            while True:
                self._wakes.get_nowait()
        except Empty:
            return


def _answer(batch: Iterable[Entry]) -> None:
    for entry in batch:
        if isinstance(entry, Append):
            entry.done(Commit.COMMITTED)
