"""Reads what is sound out of a damaged database: every row that still fits its checksum, and no other.

Where a page can't be read, SQLite gives up; the rows behind it are asked for one by one until one
answers. What is given was once written, in that place; whether it belongs to a history without a
hole is for others to say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final, NamedTuple

from taskgrid.journal import rows
from taskgrid.journal.protocol import ChunkRow, OutcomeRow
from taskgrid.journal.rows import Row
from taskgrid.model import Record

_BEHIND: Final = 2000
"""Ids that are tried behind the greatest one that any index still names."""
_ROADS: Final = {
    "chunks": ("chunks_by_ordinal", "job", "ordinal"),
    "outcomes": ("outcomes_by_sequence", "job", "sequence"),
}
"""An index of each table with ids, and what orders it."""
_TABLES: Final = ("records", "checkpoints", "chunks", "outcomes", "forgotten")
_CHUNKS: Final = f"SELECT id, job, {rows.CHUNK} FROM chunks WHERE id > ? ORDER BY id"  # noqa: S608  # column names of ours
_OUTCOMES: Final = f"SELECT id, job, {rows.OUTCOME} FROM outcomes WHERE id > ? ORDER BY id"  # noqa: S608  # likewise
_RECORDS: Final = "SELECT n, body, crc FROM records WHERE job = ? AND n >= ? ORDER BY n"
_CHECKPOINT: Final = "SELECT n, crc, body FROM checkpoints WHERE job = ?"


class Story(NamedTuple):
    """What is left of one job's records: a checkpoint, and those behind it up to the first hole."""

    first: int
    body: bytes | None
    records: list[Record]
    hole: str
    """What ended them; empty if they end by themselves."""

    @property
    def begun(self) -> bool:
        """Say whether they tell what the job is."""
        return self.body is not None or bool(self.records)


class Salvage:
    """The sound rows of one database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def chunks(self) -> Iterator[tuple[int, ChunkRow]]:
        """Yield (job, chunk)."""
        for job, *row in self._rows("chunks", _CHUNKS):
            try:
                yield job, rows.chunk_of(job, tuple(row))
            except rows.UNREADABLE:
                continue

    def outcomes(self) -> Iterator[tuple[int, OutcomeRow]]:
        """Yield (job, outcome row)."""
        for job, *row in self._rows("outcomes", _OUTCOMES):
            try:
                yield job, rows.outcome_of(job, tuple(row))
            except rows.UNREADABLE:
                continue

    def _rows(self, table: str, select: str) -> Iterator[Row]:
        at, last = 0, self._last_id(table) + _BEHIND
        while at < last:
            try:
                for number, *row in self._connection.execute(select, (at,)):
                    at = number
                    yield tuple(row)
            except sqlite3.DatabaseError:
                at += 1
            else:
                return

    def _last_id(self, table: str) -> int:
        """Return the greatest id that the table, or an index from either end, can still tell."""
        index, *columns = _ROADS[table]
        roads = [
            "ORDER BY id DESC LIMIT 1",
            f"INDEXED BY {index} ORDER BY {', '.join(columns)}",
            f"INDEXED BY {index} ORDER BY {', '.join(f'{column} DESC' for column in columns)}",
        ]
        numbers = (self._numbers(f"SELECT id FROM {table} {road}") for road in roads)  # noqa: S608  # names of ours
        return max((number for found in numbers for number in found), default=0)

    def jobs(self) -> set[int]:
        """Return the numbers that any row names, sound or not."""
        return {number for table in _TABLES for number in self._numbers(f"SELECT job FROM {table}")}  # noqa: S608  # a name of ours

    def _numbers(self, select: str) -> Iterator[int]:
        try:
            for (number,) in self._connection.execute(select):
                if isinstance(number, int):
                    yield number
        except sqlite3.DatabaseError:
            return

    def forgotten(self) -> set[int]:
        """Return the jobs that were being deleted."""
        return set(self._numbers("SELECT job FROM forgotten"))

    def epochs(self) -> dict[int, str]:
        """Return the starts that are known."""
        try:
            found = self._connection.execute("SELECT number, salt, crc FROM epochs").fetchall()
        except sqlite3.DatabaseError:
            return {}  # only the greatest number counts, and tokens tell it too
        return {number: salt for number, salt, crc in found if crc == rows.epoch_sealed(number, salt)}

    def story(self, job: int) -> Story:
        """Return what the records of a job tell."""
        first, body, hole = self._checkpoint(job)
        records: list[Record] = []
        try:
            for record in rows.records_of(job, first, self._connection.execute(_RECORDS, (job, first))):
                records.append(record)  # noqa: PERF402  # those before an error count
        except rows.UNREADABLE as error:
            return Story(first, body, records, hole or rows.finding(error))
        except sqlite3.DatabaseError as error:
            return Story(first, body, records, hole or f"record {first + len(records)} can't be read: {error}")
        return Story(first, body, records, "" if records else hole)

    def _checkpoint(self, job: int) -> tuple[int, bytes | None, str]:
        try:
            row = self._connection.execute(_CHECKPOINT, (job,)).fetchone()
        except sqlite3.DatabaseError as error:
            return 0, None, f"its checkpoint can't be read: {error}"
        if row is None:
            return 0, None, ""
        number, crc, body = row
        if not isinstance(body, bytes) or crc != rows.sealed(body, job, number):
            return 0, None, "its checkpoint does not fit its checksum"
        return number, body, ""
