"""The journal that survives nothing: for tests, simulations, and grids that live in one program.

It keeps the promises of the protocol but durability, on a writer's thread of its own, so that what
runs on it sees the same order of events as on SQLite. A second one can go on where a first was closed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import Final, Self, assert_never
from zlib import crc32

from taskgrid.errors import JournalDamaged, JournalError
from taskgrid.journal.lines import ROW_WEIGHT, Splits
from taskgrid.journal.newest import Extent, collect, merged, newest, reach, span_of, unbroken
from taskgrid.journal.protocol import (
    ChunkRow,
    Commit,
    Durability,
    Group,
    OutcomePiece,
    OutcomeRow,
    StoredChunk,
    StoredJob,
)
from taskgrid.journal.writer import Append, Checkpoint, Entry, Forget, Writer, end_process
from taskgrid.model import Epoch, JobNumber, Record

MEMORY: Final = "memory"
_SPLIT: Final = 16 << 20


@dataclass
class _Job:
    checkpoint: bytes | None = None
    next_record: int = 0
    records: list[Record] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    chunks: list[ChunkRow] = field(default_factory=list)
    ordinals: dict[int, ChunkRow] = field(default_factory=dict)
    outcomes: list[OutcomeRow] = field(default_factory=list)
    spans: dict[int, list[Extent]] = field(default_factory=dict)

    def add(self, group: Group) -> None:
        self.records.extend(group.records)
        for chunk in group.chunks:
            self.firsts.append(chunk.first)
            self.chunks.append(chunk)
            self.ordinals[chunk.ordinal] = chunk
        for row in group.outcomes:
            self.outcomes.append(row)
            extent = Extent(row.first, row.first + row.count, row.sequence)
            insort(self.spans.setdefault(span_of(row.count), []), extent)

    def keep(self, next_record: int, body: bytes) -> None:
        del self.records[: next_record - self.next_record]
        self.next_record, self.checkpoint = next_record, body

    def chunk_with(self, task: int) -> ChunkRow | None:
        at = bisect_right(self.firsts, task) - 1
        return self.chunks[at] if at >= 0 and task < self.firsts[at] + self.chunks[at].count else None

    def extents(self, span: int, start: int, stop: int) -> Iterator[Extent]:
        rows = self.spans[span]
        begin, end = bisect_left(rows, (reach(start, span), 0, 0)), bisect_left(rows, (stop, 0, 0))
        return map(rows.__getitem__, range(begin, end))

    def size(self) -> int:
        blobs = [row.lines for row in self.chunks] + [row.lines for row in self.outcomes]
        return sum(map(len, blobs)) + ROW_WEIGHT * (len(blobs) + len(self.records))


class _Store:
    """The jobs of a journal: written by the writer's thread, read by any."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.jobs: dict[int, _Job] = {}

    def commit(self, batch: Sequence[Entry]) -> None:
        with self.lock:
            for entry in batch:
                self._take(entry)

    def _take(self, entry: Entry) -> None:
        match entry:
            case Append(groups):
                for group in groups:
                    self._add(group)
            case Checkpoint(job, next_record, body):
                self.jobs.setdefault(job, _Job()).keep(next_record, body)
            case Forget(job):
                self.jobs.pop(job, None)
            case _:
                assert_never(entry)

    def _add(self, group: Group) -> None:
        if group.job not in self.jobs and group.first_record:
            return  # a latecomer of a job that was forgotten
        self.jobs.setdefault(group.job, _Job()).add(group)

    def step(self) -> None:
        """There is no upkeep."""

    def due_in(self) -> float | None:
        return None


class MemoryJournal:
    """A journal in memory; see `taskgrid.journal.protocol.Journal` for what it promises.

    With `after` it is the next start of a journal that was closed: what that held, and a new epoch.
    """

    def __init__(
        self,
        durability: Durability = Durability.NONE,
        *,
        after: Self | None = None,
        on_fatal: Callable[[BaseException], None] = end_process,
    ) -> None:
        self.path, self.durability = MEMORY, durability
        self.epoch: Epoch = Epoch(after.epoch.number + 1 if after else 1, token_hex(8))
        self.epochs: Mapping[int, str] = {**(after.epochs if after else {}), self.epoch.number: self.epoch.salt}
        self._store: _Store = after._store if after else _Store()  # noqa: SLF001  # another of its own kind
        self._splits = Splits(_SPLIT)
        self._writer = Writer(self._store, on_fatal)
        self._writer.start()
        self._closed = False

    def replay(self) -> Iterator[StoredJob]:
        """Yield every job, in order of number; before the first `append`."""
        for number, job in sorted(self._store.jobs.items()):
            yield StoredJob(JobNumber(number), job.checkpoint, job.next_record, iter(job.records))

    def append(self, groups: Sequence[Group], done: Callable[[Commit], None], *, wake: bool = True) -> None:
        """Queue groups for the next commit; `done` is called once after it, by whoever commits."""
        self._writer.put(Append(groups, done), wake=wake)

    def commit_now(self) -> None:
        """Commit what was appended on this thread, unless another is at it."""
        self._writer.commit_now()

    def checkpoint(self, job: JobNumber, next_record: int, body: bytes) -> None:
        """Keep `body` as the job's state before record `next_record`, and drop the records before it."""
        self._writer.put(Checkpoint(job, next_record, body))

    def forget(self, job: JobNumber) -> None:
        """Drop everything of a job with the next commit."""
        self._writer.put(Forget(job))

    def flush(self) -> None:
        """Return when everything appended before is committed."""
        self._writer.flush()

    def read_payloads(self, job: JobNumber, start: int, stop: int) -> bytes:
        """Return the lines of committed tasks, joined by newlines, without a last one."""
        parts = []
        while start < stop:
            chunk = self._chunk_with(job, start)
            end = min(stop, chunk.first + chunk.count)
            parts.append(self._splits.run(job, chunk, start, end))
            start = end
        return b"\n".join(parts)

    def _chunk_with(self, job: JobNumber, task: int) -> ChunkRow:
        with self._store.lock:
            chunk = self._job(job).chunk_with(task)
        if chunk is None:
            raise JournalDamaged(f"the payload of task {job}.{task} is not there")
        return chunk

    def _job(self, job: JobNumber) -> _Job:
        return self._store.jobs.get(job) or _Job()

    def read_chunk(self, job: JobNumber, ordinal: int) -> StoredChunk | None:
        """Return what was committed under an ordinal."""
        with self._store.lock:
            chunk = self._job(job).ordinals.get(ordinal)
        return None if chunk is None else StoredChunk(chunk.first, chunk.count, crc32(chunk.lines))

    def read_arrivals(self, job: JobNumber, after: int, limit: int) -> list[OutcomeRow]:
        """Return committed rows after number `after`: at least one if there is any, then up to `limit` bytes."""
        with self._store.lock:
            rows = self._job(job).outcomes
            found = rows[after : after + 1]
            size = sum(len(row.lines) + ROW_WEIGHT for row in found)
            for row in map(rows.__getitem__, range(after + 1, len(rows))):
                size += len(row.lines) + ROW_WEIGHT
                if size > limit:
                    break
                found.append(row)
        return found

    def read_index(self, job: JobNumber, start: int, stop: int, limit: int) -> list[OutcomePiece]:
        """Return the newest outcomes of committed tasks from `start` on, in order of index."""
        with self._store.lock:
            held = self._job(job)
            extents = merged(held.extents(span, start, stop) for span in held.spans)
            pieces = unbroken(newest(extents, start, stop), start)
            return collect(pieces, lambda sequence: held.outcomes[sequence - 1], limit)

    def size(self) -> int:
        """Return about how many bytes of memory it takes."""
        with self._store.lock:
            return sum(job.size() for job in self._store.jobs.values())

    def room(self) -> bool:
        """Say that there is space: memory has no reserve."""
        return True

    def backup(self, target: str | Path) -> int:
        """Raise JournalError: there is no file to copy."""
        raise JournalError(f"there is nothing to copy to {target}: the journal is kept in memory")

    def close(self) -> None:
        """Commit what was appended, and end the thread."""
        if not self._closed:
            self._closed = True
            self._writer.stop()
