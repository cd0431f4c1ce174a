"""Rows of the SQLite journal: from groups to rows with checksums, and back with them verified.

A checksum covers a row's bytes and its place, in one crc32. Whatever does not fit raises `Mismatch`,
which names the row; whoever reads turns it into an error that names the journal. No SQL is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from zlib import crc32

from taskgrid.journal.newest import span_of
from taskgrid.journal.protocol import ChunkRow, Group, OutcomeRow, StoredChunk
from taskgrid.model import Record, Token
from taskgrid.model.record import RECORD

Row = tuple[Any, ...]

CHUNK: Final = "ordinal, first, count, digest, crc, lines"
"""The columns that `chunk_of` takes; likewise below."""
STORED_CHUNK: Final = "first, count, digest, crc"
OUTCOME: Final = "sequence, first, count, token, number, cancelled, crc, lines"


class Mismatch(Exception):  # a finding, made an error where the journal's name is known
    """A row is not what was written, or not there."""


UNREADABLE: Final = (Mismatch, ValueError, TypeError)
"""What reading a row that is not as it was written can raise."""


def finding(error: Exception) -> str:
    """Say what one of UNREADABLE found."""
    return str(error) if isinstance(error, Mismatch) else f"a row can't be read: {error}"


@dataclass
class Rows:
    """What a batch adds to each table."""

    records: list[Row] = field(default_factory=list)
    chunks: list[Row] = field(default_factory=list)
    outcomes: list[Row] = field(default_factory=list)

    def add(self, group: Group) -> None:
        """Take the rows of one group."""
        job = group.job
        for number, record in enumerate(group.records, group.first_record):
            body = type(record).__pydantic_serializer__.to_json(record)
            self.records.append((job, number, body, sealed(body, job, number)))
        for chunk in group.chunks:
            self.chunks.append(chunk_row(job, chunk))
        for outcome in group.outcomes:
            self.outcomes.append(outcome_row(job, outcome))


def sealed(body: bytes, job: int, number: int) -> int:
    """Return the checksum of a record's or checkpoint's row."""
    return crc32(body, crc32(b"%d %d" % (job, number)))


def epoch_sealed(number: int, salt: str) -> int:
    """Return the checksum of an epoch's row."""
    return crc32(f"{number} {salt}".encode())


def _chunk_sealed(job: int, ordinal: int, first: int, count: int, digest: int) -> int:
    return crc32(b"%d %d %d %d" % (job, ordinal, first, count), digest)


def chunk_row(job: int, chunk: ChunkRow) -> Row:
    """Return a chunk as its row, but for the row's id."""
    digest = crc32(chunk.lines)
    crc = _chunk_sealed(job, chunk.ordinal, chunk.first, chunk.count, digest)
    return job, chunk.ordinal, chunk.first, chunk.count, digest, crc, chunk.lines


def _outcome_sealed(place: tuple[int, ...], token: str | None, lines: bytes) -> int:
    return crc32(lines, crc32(f"{place} {token}".encode()))


def outcome_row(job: int, row: OutcomeRow) -> Row:
    """Return outcomes as their row, but for its id."""
    token = None if row.token is None else f"{row.token.epoch} {row.token.counter} {row.token.salt}"
    place = (job, row.sequence, row.first, row.count, row.number, int(row.cancelled))
    crc = _outcome_sealed(place, token, row.lines)
    return job, row.sequence, row.first, row.count, span_of(row.count), token, *place[4:], crc, row.lines


def records_of(job: int, next_record: int, rows: Iterable[Row]) -> Iterator[Record]:
    """Yield the records in rows of (n, body, crc), which must be numbered from `next_record` without a gap."""
    for expected, (number, body, crc) in enumerate(rows, next_record):
        if number != expected:
            raise Mismatch(f"record {expected} of job {job} is missing: the next there is {number}")
        if crc != sealed(body, job, number):
            raise Mismatch(f"record {number} of job {job} does not fit its checksum")
        yield RECORD.validate_json(body)


def chunk_of(job: int, row: Row) -> ChunkRow:
    """Return the chunk in a row of the columns CHUNK."""
    ordinal, first, count, digest, crc, lines = row
    if digest != crc32(lines) or crc != _chunk_sealed(job, ordinal, first, count, digest):
        raise Mismatch(f"chunk {ordinal} of job {job} does not fit its checksum")
    return ChunkRow(ordinal, first, count, lines)


def stored_chunk_of(job: int, ordinal: int, row: Row) -> StoredChunk:
    """Return what a row of the columns STORED_CHUNK says, without the lines."""
    first, count, digest, crc = row
    if crc != _chunk_sealed(job, ordinal, first, count, digest):
        raise Mismatch(f"chunk {ordinal} of job {job} does not fit its checksum")
    return StoredChunk(first, count, digest)


def outcome_of(job: int, row: Row) -> OutcomeRow:
    """Return the outcomes in a row of the columns OUTCOME."""
    sequence, first, count, token, number, cancelled, crc, lines = row
    if crc != _outcome_sealed((job, sequence, first, count, number, cancelled), token, lines):
        raise Mismatch(f"outcome row {sequence} of job {job} does not fit its checksum")
    return OutcomeRow(sequence, first, count, _token(token), number, lines, bool(cancelled))


def _token(text: str | None) -> Token | None:
    if text is None:
        return None
    epoch, counter, *salt = text.split(" ", 2)
    return Token(int(epoch), int(counter), "".join(salt))
