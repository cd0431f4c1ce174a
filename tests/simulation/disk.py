"""The master's disk and the journal on it: what is written, what is synced, what a crash tears off.

`SimulatedJournal` keeps the promises of `taskgrid.journal.protocol.Journal` on a `Disk`. A commit
takes simulated time; whoever waits for one lets the rest of the world go on meanwhile, inside the
call: that is how the master's blocking verbs run on one thread. Rows are kept in the store of the
journal in memory. What was committed is told to the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from taskgrid.journal.memory import _Job, _Store
from taskgrid.journal.newest import collect, merged, newest, unbroken
from taskgrid.journal.protocol import Commit, Durability, Group, OutcomePiece, OutcomeRow, StoredChunk, StoredJob
from taskgrid.journal.writer import Append, Checkpoint, Entry, Forget
from taskgrid.model import Epoch, JobNumber

from .loop import Loop, Node


class Died(BaseException):
    """The master that this call ran in is no more."""


class Backup(NamedTuple):
    """A copy of the disk at some instant."""

    log: list[Entry]
    epochs: dict[int, str]


class Disk:
    """Committed entries in order; the last ones may be written and not yet synced."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.log: list[Entry] = []
        self.synced = 0
        self.epochs: dict[int, str] = {}
        self.store = _Store()
        self.slow = False
        self.full = False

    def write(self, entries: Sequence[Entry]) -> None:
        """Keep entries, whole."""
        for entry in entries:
            self.log.append(entry)
            self.store.commit([entry])
            self.loop.note("durable", entry)

    def cut(self, length: int) -> None:
        """Lose what came after."""
        self._become(self.log[:length])

    def backup(self) -> Backup:
        """Copy everything."""
        return Backup(list(self.log), dict(self.epochs))

    def restore(self, backup: Backup) -> None:
        """Go back to a copy."""
        self.epochs = dict(backup.epochs)
        self._become(list(backup.log))

    def _become(self, log: list[Entry]) -> None:
        self.loop.note("rollback", tuple(log))
        self.log, self.store = [], _Store()
        for entry in log:
            self.log.append(entry)
            self.store.commit([entry])
        self.synced = len(self.log)

    def commit_takes(self) -> float:
        """Return how long the next commit takes."""
        chance = self.loop.random
        if self.slow and chance.random() < 0.3:
            return chance.uniform(0.5, 3.0)
        return chance.choice((0.0002, 0.001, 0.005, 0.05))


class SimulatedJournal:
    """One start of a master on a disk."""

    def __init__(self, disk: Disk, node: Node, durability: Durability) -> None:
        self.durability = durability
        self.path = "disk"
        number = max(disk.epochs, default=0) + 1
        self.epoch = Epoch(number, f"{disk.loop.random.getrandbits(64):016x}")
        disk.epochs[number] = self.epoch.salt
        self.epochs = dict(disk.epochs)
        self.waiting: list[int] = []
        """What each call under way waits for, the outermost first."""
        self.answered = 0
        self.full = False
        """Whether a commit waits for space."""
        self._disk = disk
        self._node = node
        self._life = node.life
        self._line: list[tuple[Entry, Callable[[Commit], None] | None]] = []
        self._in_flight: list[Entry] = []
        self._appended = 0

    # ------------------------------------------------------------ writing

    def append(self, groups: Sequence[Group], done: Callable[[Commit], None], *, wake: bool = True) -> None:
        """Line groups up."""
        for group in groups:
            self._disk.loop.note("decided", group)
        for group in groups[:-1]:
            self._put(Append((group,), _nobody), None)
        self._put(Append(groups[-1:], _nobody), done)

    def checkpoint(self, job: JobNumber, next_record: int, body: bytes) -> None:
        """Line a checkpoint up."""
        self._put(Checkpoint(job, next_record, body), None)

    def forget(self, job: JobNumber) -> None:
        """Line a job's end up."""
        self._put(Forget(job), None)

    def _put(self, entry: Entry, done: Callable[[Commit], None] | None) -> None:
        self._line.append((entry, done))
        self._appended += 1
        if not self._in_flight and len(self._line) == 1:
            self._node.later(self._disk.commit_takes() / 2, self._begin)

    def _begin(self) -> None:
        if self._in_flight or not self._line:
            return
        batch, self._line = self._line, []
        self._in_flight = [entry for entry, _ in batch]
        self._node.later(self._disk.commit_takes(), lambda: self._end(batch))

    def _end(self, batch: list[tuple[Entry, Callable[[Commit], None] | None]]) -> None:
        disk = self._disk
        self.full = disk.full
        if self.full:
            self._node.later(0.5, lambda: self._end(batch))
            return
        disk.write(self._in_flight)
        if self.durability is Durability.POWER:
            disk.synced = len(disk.log)
        else:
            disk.loop.at(disk.loop.random.uniform(0.2, 1.5), _sync(disk, len(disk.log)))
        self._in_flight = []
        for _, done in batch:
            if done is not None:
                done(Commit.COMMITTED)
        self.answered += len(batch)
        if self._line:
            self._begin()

    def tear(self) -> None:
        """Keep what a kill leaves of the commit under way: of each job's groups a beginning, perhaps all or nothing."""
        chance = self._disk.loop.random
        pending = [*self._in_flight, *(entry for entry, _ in self._line)]
        self._in_flight, self._line = [], []
        share = chance.choice((0.0, 1.0, 0.7, 0.4))
        torn: set[int] = set()
        kept = []
        for entry in pending:
            job = entry.groups[0].job if isinstance(entry, Append) else entry.job
            if job not in torn and chance.random() < share:
                kept.append(entry)
            else:
                torn.add(job)
        self._disk.write(kept)
        if self.durability is Durability.POWER:
            self._disk.synced = len(self._disk.log)

    def commit_now(self) -> None:
        """Let the world go on until everything appended so far is committed."""
        goal = self._appended
        self.waiting.append(goal)
        try:
            while self.answered < goal:
                if self._life != self._node.life:
                    raise Died
                self._disk.loop.step()
            if self._life != self._node.life:
                raise Died
        finally:
            self.waiting.remove(goal)

    def flush(self) -> None:
        """Likewise."""
        self.commit_now()

    def close(self) -> None:
        """Commit what was appended, as far as there is time for it: nobody is answered any more."""
        self.tear()

    # ------------------------------------------------------------ reading

    def replay(self) -> Iterator[StoredJob]:
        """Yield every job."""
        for number, job in sorted(self._disk.store.jobs.items()):
            yield StoredJob(JobNumber(number), job.checkpoint, job.next_record, iter(list(job.records)))

    def _job(self, job: JobNumber) -> Any:
        return self._disk.store.jobs.get(job) or _Job()

    def read_payloads(self, job: JobNumber, start: int, stop: int) -> bytes:
        """Return lines of committed tasks."""
        lines = []
        for index in range(start, stop):
            chunk = self._job(job).chunk_with(index)
            lines.append(chunk.lines.split(b"\n")[index - chunk.first])
        return b"\n".join(lines)

    def read_chunk(self, job: JobNumber, ordinal: int) -> StoredChunk | None:
        """Return what was committed under an ordinal."""
        from zlib import crc32

        chunk = self._job(job).ordinals.get(ordinal)
        return None if chunk is None else StoredChunk(chunk.first, chunk.count, crc32(chunk.lines))

    def read_arrivals(self, job: JobNumber, after: int, limit: int) -> list[OutcomeRow]:
        """Return committed rows after a number."""
        return list(self._job(job).outcomes[after : after + max(1, limit)])

    def read_index(self, job: JobNumber, start: int, stop: int, limit: int) -> list[OutcomePiece]:
        """Return the newest outcomes of committed tasks."""
        held = self._job(job)
        extents = merged(held.extents(span, start, stop) for span in held.spans)
        pieces = unbroken(newest(extents, start, stop), start)
        return collect(pieces, lambda sequence: held.outcomes[sequence - 1], limit)

    def size(self) -> int:
        """Say that it is small."""
        return 0

    def room(self) -> bool:
        """Say whether there is space."""
        return not self._disk.full


def _nobody(_: Commit) -> None:
    """Hear nothing."""


def _sync(disk: Disk, length: int) -> Callable[[], None]:
    log = disk.log

    def sync() -> None:
        if disk.log is log:
            disk.synced = max(disk.synced, length)

    return sync
