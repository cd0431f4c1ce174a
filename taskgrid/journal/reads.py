"""Reading payloads and outcomes: recent ones from memory, others from SQLite.

What is committed is put into caches at once, so that leases and fetches of recent work touch no
disk. A miss reads ahead, for whoever reads one chunk reads the next. All of it may be called from
any thread. Rows of jobs that are being forgotten are not there any more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Final, Protocol

from taskgrid.journal import rows
from taskgrid.journal.cache import Cache
from taskgrid.journal.lines import ROW_WEIGHT, Splits
from taskgrid.journal.newest import Extent, collect, merged, newest, reach, span_of, unbroken
from taskgrid.journal.protocol import ChunkRow, Group, OutcomePiece, OutcomeRow, StoredChunk

CACHE: Final = 64 << 20
_AHEAD: Final = 1 << 20

_CHUNKS: Final = f"""
SELECT {rows.CHUNK} FROM chunks WHERE job = ?1
AND first >= (SELECT max(first) FROM chunks WHERE job = ?1 AND first <= ?2) ORDER BY first
"""  # noqa: S608  # column names of ours
_STORED_CHUNK: Final = f"SELECT {rows.STORED_CHUNK} FROM chunks WHERE job = ? AND ordinal = ?"  # noqa: S608  # likewise
_ARRIVALS: Final = f"SELECT {rows.OUTCOME} FROM outcomes WHERE job = ? AND sequence > ? ORDER BY sequence"  # noqa: S608  # likewise
_OUTCOME: Final = f"SELECT {rows.OUTCOME} FROM outcomes WHERE job = ? AND sequence = ?"  # noqa: S608  # likewise
_EXTENTS: Final = """
SELECT first, first + count, sequence FROM outcomes
WHERE job = ? AND span = ? AND first >= ? AND first < ? ORDER BY first
"""
_NEXT_SPAN: Final = "SELECT min(span) FROM outcomes WHERE job = ? AND span > ?"


class Readable(Protocol):
    """What a reader reads from."""

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Give the connection for reading; what does not fit becomes JournalDamaged."""


class Reader:
    """Reads of one journal, through caches of `most` bytes in all."""

    def __init__(self, database: Readable, most: int, forgotten: Container[int]) -> None:
        self._database = database
        self._forgotten = forgotten
        self._chunks: Cache[ChunkRow] = Cache(most * 3 // 8)
        self._splits = Splits(most // 4)
        self._outcomes: Cache[OutcomeRow] = Cache(most * 3 // 8)
        self._last: dict[int, int] = {}
        self._spans: dict[int, int] = {}

    def committed(self, groups: Sequence[Group]) -> None:
        """Keep what has just been committed."""
        for group in groups:
            for chunk in group.chunks:
                self._keep_chunk(group.job, chunk)
            for row in group.outcomes:
                self._keep_outcome(group.job, row)

    def _keep_chunk(self, job: int, chunk: ChunkRow) -> None:
        self._chunks.put(job, chunk.first, chunk, len(chunk.lines) + ROW_WEIGHT)

    def _keep_outcome(self, job: int, row: OutcomeRow) -> None:
        self._outcomes.put(job, row.sequence, row, len(row.lines) + ROW_WEIGHT)
        self._last[job] = row.sequence
        if job in self._spans:  # else the first `index` learns them from the table
            self._spans[job] |= 1 << span_of(row.count)

    def forget(self, job: int) -> None:
        """Let go of what is kept of a job."""
        for kept in (self._chunks, self._splits, self._outcomes):
            kept.forget(job)
        self._last.pop(job, None)
        self._spans.pop(job, None)

    def payloads(self, job: int, start: int, stop: int) -> bytes:
        """Return the lines of tasks; JournalDamaged if one is not there."""
        parts = []
        while start < stop:
            chunk = self._chunk_with(job, start)
            end = min(stop, chunk.first + chunk.count)
            parts.append(self._splits.run(job, chunk, start, end))
            start = end
        return parts[0] if len(parts) == 1 else b"\n".join(parts)

    def _chunk_with(self, job: int, task: int) -> ChunkRow:
        found = self._chunks.at_or_before(job, task)
        if found is not None and task < found.first + found.count:
            return found
        return self._load_chunks(job, task)

    def _load_chunks(self, job: int, task: int) -> ChunkRow:
        with self._database.reading() as connection:
            found = list(self._chunks_from(connection, job, task))
            if not found or not found[0].first <= task < found[0].first + found[0].count:
                raise rows.Mismatch(f"the payload of task {job}.{task} is not there")
        for chunk in reversed(found):  # the one asked for last: making room for the others must not cost it
            self._keep_chunk(job, chunk)
        return found[0]

    def _chunks_from(self, connection: sqlite3.Connection, job: int, task: int) -> Iterator[ChunkRow]:
        size = 0
        with closing(connection.execute(_CHUNKS, (job, task))) as cursor:
            for row in cursor if job not in self._forgotten else ():
                chunk = rows.chunk_of(job, row)
                yield chunk
                size += len(chunk.lines) + ROW_WEIGHT
                if size >= _AHEAD:
                    return

    def chunk(self, job: int, ordinal: int) -> StoredChunk | None:
        """Return what was committed under an ordinal."""
        with self._database.reading() as connection:
            row = connection.execute(_STORED_CHUNK, (job, ordinal)).fetchone()
            if row is None or job in self._forgotten:
                return None
            return rows.stored_chunk_of(job, ordinal, row)

    def arrivals(self, job: int, after: int, limit: int) -> list[OutcomeRow]:
        """Return rows after a sequence number, one or more up to `limit` bytes."""
        if after >= self._last_of(job):
            return []
        return list(self._kept_arrivals(job, after, limit)) or self._load_arrivals(job, after, limit)

    def _last_of(self, job: int) -> int:
        last = self._last.get(job)
        if last is not None:
            return last
        with self._database.reading() as connection:
            if job in self._forgotten:
                return 0
            (found,) = connection.execute("SELECT max(sequence) FROM outcomes WHERE job = ?", (job,)).fetchone()
            return self._last.setdefault(job, found or 0)

    def _kept_arrivals(self, job: int, after: int, limit: int) -> Iterator[OutcomeRow]:
        row = self._outcomes.get(job, after + 1)
        size = 0
        while row is not None:
            yield row
            size += len(row.lines) + ROW_WEIGHT
            row = self._outcomes.get(job, row.sequence + 1)
            if row is not None and size + len(row.lines) + ROW_WEIGHT > limit:
                return

    def _load_arrivals(self, job: int, after: int, limit: int) -> list[OutcomeRow]:
        found: list[OutcomeRow] = []
        size = 0
        with self._database.reading() as connection, closing(connection.execute(_ARRIVALS, (job, after))) as cursor:
            for row in cursor:
                outcome = rows.outcome_of(job, row)
                if outcome.sequence != after + len(found) + 1:
                    raise rows.Mismatch(f"outcome row {after + len(found) + 1} of job {job} is missing")
                size += len(outcome.lines) + ROW_WEIGHT
                if found and size > limit:
                    break
                found.append(outcome)
        return found

    def index(self, job: int, start: int, stop: int, limit: int) -> list[OutcomePiece]:
        """Return the newest outcomes from `start` on in order of index, one or more up to `limit` bytes."""
        with self._database.reading() as connection, ExitStack() as cursors:
            extents = [
                cursors.enter_context(closing(connection.execute(_EXTENTS, (job, span, reach(start, span), stop))))
                for span in self._spans_of(connection, job)
            ]
            rows_by_first = merged(map(Extent._make, cursor) for cursor in extents)
            pieces = unbroken(newest(rows_by_first, start, stop), start)
            return collect(pieces, lambda sequence: self._outcome(connection, job, sequence), limit)

    def _spans_of(self, connection: sqlite3.Connection, job: int) -> Iterator[int]:
        if job in self._forgotten:
            return
        if job not in self._spans:  # under the lock: no commit can come between the query and this
            self._spans[job] = sum(1 << span for span in spans_in(connection, job))
        spans = self._spans[job]
        yield from (span for span in range(spans.bit_length()) if spans >> span & 1)

    def _outcome(self, connection: sqlite3.Connection, job: int, sequence: int) -> OutcomeRow:
        kept = self._outcomes.get(job, sequence)
        return kept or rows.outcome_of(job, connection.execute(_OUTCOME, (job, sequence)).fetchone())


def spans_in(connection: sqlite3.Connection, job: int) -> Iterator[int]:
    """Yield the spans that a job's outcome rows have."""
    span = -1
    while (found := connection.execute(_NEXT_SPAN, (job, span)).fetchone()[0]) is not None:
        yield (span := int(found))
