"""The journal that survives: SQLite in WAL mode, one connection, one writer thread, group commit.

What was appended is answered after its commit and readable from then on. `power` syncs the log at
each commit, `process` at checkpoints, `none` never; only the epoch is synced in all three. A full
disk is waited out; any other error of a commit ends the process. A checkpoint or a forgetting is
queued behind what was appended before. What is kept is never looked into, only checked to be unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import structlog

from taskgrid.disks import sync_folder
from taskgrid.journal import wal
from taskgrid.journal.backup import Backup
from taskgrid.journal.commit import Committer
from taskgrid.journal.database import Database
from taskgrid.journal.place import Lock, prepare
from taskgrid.journal.protocol import Commit, Durability, Group, OutcomePiece, OutcomeRow, StoredChunk, StoredJob
from taskgrid.journal.reads import CACHE, Reader
from taskgrid.journal.replay import replay
from taskgrid.journal.space import BALLAST, RESERVE, Space
from taskgrid.journal.swap import refuse_unfinished
from taskgrid.journal.upkeep import Upkeep
from taskgrid.journal.writer import Append, Checkpoint, Forget, Writer, end_process
from taskgrid.model import Epoch, JobNumber

_log = structlog.get_logger()


class SqliteJournal:
    """A journal in one file; see `taskgrid.journal.protocol.Journal` for what it promises.

    `reserve`, `ballast` and `cache` are in bytes. `on_fatal` is called on the writer's thread when a
    commit fails for another reason than a full disk; the default ends the process with status 74.
    """

    def __init__(
        self,
        path: str | Path,
        durability: Durability = Durability.POWER,
        *,
        reserve: int = RESERVE,
        ballast: int = BALLAST,
        cache: int = CACHE,
        on_fatal: Callable[[BaseException], None] = end_process,
    ) -> None:
        place = Path(path).absolute()
        self.path, self.durability = str(place), durability
        prepare(place)
        self._lock = Lock(place)
        try:
            refuse_unfinished(place)
            self.recovered = wal.recover(place)
            """What was cut off behind the last commit at opening, for people; empty if nothing was."""
            self._database = Database(place, durability)
        except BaseException:
            self._lock.release()
            raise
        sync_folder(place.parent)
        self.epochs: Mapping[int, str] = self._database.epochs
        self.epoch = Epoch(max(self.epochs), self.epochs[max(self.epochs)])
        self._backup = Backup(self._database)
        self._space = Space(place, reserve, ballast)
        self._upkeep = Upkeep(self._database, self._space)
        self._reader = Reader(self._database, cache, self._upkeep.forgotten)
        self._committer = Committer(self._database, self._reader, self._upkeep, self._space)
        self._writer = Writer(self._committer, on_fatal)
        self._closed = False
        self._announce()
        self._writer.start()

    def _announce(self) -> None:
        if self.recovered:
            _log.warning("journal.recovered", path=self.path, cut=self.recovered)
        _log.info("journal.opened", path=self.path, epoch=self.epoch.number, durability=self.durability.value)

    @property
    def full(self) -> bool:
        """Whether a commit is waiting for space on the disk."""
        return self._committer.full

    def replay(self) -> Iterator[StoredJob]:
        """Yield every job, in order of number; before the first `append`."""
        return replay(self._database, self._upkeep.forgotten)

    def append(self, groups: Sequence[Group], done: Callable[[Commit], None], *, wake: bool = True) -> None:
        """Queue groups for the next commit; `done` is called once after it, by whoever commits."""
        self._writer.put(Append(groups, done), wake=wake)

    def commit_now(self) -> None:
        """Commit what was appended on this thread, unless another is at it."""
        self._writer.commit_now()

    def checkpoint(self, job: JobNumber, next_record: int, body: bytes) -> None:
        """Keep `body` as the job's state before record `next_record`; the records before it are deleted."""
        self._writer.put(Checkpoint(job, next_record, body))

    def forget(self, job: JobNumber) -> None:
        """Drop everything of a job: at once for every reader after the next commit, from the disk in steps."""
        self._writer.put(Forget(job))

    def flush(self) -> None:
        """Return when everything appended before is committed."""
        self._writer.flush()

    def read_payloads(self, job: JobNumber, start: int, stop: int) -> bytes:
        """Return the lines of committed tasks, joined by newlines, without a last one."""
        return self._reader.payloads(job, start, stop)

    def read_chunk(self, job: JobNumber, ordinal: int) -> StoredChunk | None:
        """Return what was committed under an ordinal."""
        return self._reader.chunk(job, ordinal)

    def read_arrivals(self, job: JobNumber, after: int, limit: int) -> list[OutcomeRow]:
        """Return committed rows after number `after`: at least one if there is any, then up to `limit` bytes."""
        return self._reader.arrivals(job, after, limit)

    def read_index(self, job: JobNumber, start: int, stop: int, limit: int) -> list[OutcomePiece]:
        """Return the newest outcomes of committed tasks from `start` on, in order of index."""
        return self._reader.index(job, start, stop, limit)

    def size(self) -> int:
        """Return the bytes in use on disk; pages that deleted rows left free don't count."""
        return self._database.pages()[0]

    def room(self) -> bool:
        """Say whether there is space for another submit."""
        return not self.full and self._space.has_room(self._upkeep.reusable)

    def backup(self, target: str | Path) -> int:
        """Write a copy that can be opened as a journal, and return its size; commits go on.

        A relative `target` is beside the journal. JournalError if it exists or can't be written.
        """
        return self._backup.write(Path(self.path).parent / target)

    def close(self) -> None:
        """Commit what was appended, unless the disk is full, and let go of the file."""
        if self._closed:
            return
        self._closed = True
        self._backup.stop()
        self._committer.closing.set()
        try:
            self._writer.stop()
            self._database.close()
        finally:
            self._lock.release()
