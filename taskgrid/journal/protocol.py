"""What a journal is: append groups of records durably, replay them, and read bytes back.

A *group* is what one decision adds to one job: records, and beside them the payloads of chunks and
the lines of outcomes. A group is committed whole or not at all, groups of one job in the order
they were appended; no record spans two jobs. `append` returns at once, and `done` is called after
the commit: nothing that rests on a record may leave the master before.

The journal knows records as rows with a number and never decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from taskgrid.model import Epoch, JobNumber, Record, Token


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """The payloads of one chunk: `count` lines of JSON, joined by newlines."""

    ordinal: int
    first: int
    count: int
    lines: bytes


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """The outcomes of consecutive tasks: `count` lines, or none if they were cancelled.

    `sequence` is dense in its job, from 1. `token` and `number` are those of the report, or
    `token` is None when the master ended the tasks itself.
    """

    sequence: int
    first: int
    count: int
    token: Token | None
    number: int
    lines: bytes
    cancelled: bool = False

    @property
    def stop(self) -> int:
        """The task behind its last."""
        return self.first + self.count


@dataclass(frozen=True, slots=True)
class OutcomePiece:
    """Consecutive tasks and their newest outcomes, as `read_index` gives them."""

    first: int
    count: int
    lines: bytes
    cancelled: bool
    token: Token | None


class Group(NamedTuple):
    """What one decision adds to one job. Records are numbered densely in their job, from 0."""

    job: JobNumber
    first_record: int
    records: Sequence[Record]
    chunks: Sequence[ChunkRow] = ()
    outcomes: Sequence[OutcomeRow] = ()


class Commit(StrEnum):
    """What became of a group."""

    COMMITTED = "committed"
    FENCED = "fenced"  # another master owns the job now: nothing was written


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk without its payloads, to answer a repeated submit."""

    first: int
    count: int
    digest: int
    """crc32 of the lines."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as the journal has it: its newest checkpoint, and the records after it."""

    number: JobNumber
    checkpoint: bytes | None
    next_record: int
    """The number of the first of `records`."""
    records: Iterator[Record]


class Durability(StrEnum):
    """When a commit is answered."""

    POWER = "power"  # after fsync: survives power loss
    PROCESS = "process"  # after the write: survives a crash of the program
    NONE = "none"  # for tests


class Journal(Protocol):
    """The durable record of one master. Safe to call from any thread."""

    epoch: Epoch
    """Of this start: fsynced before the journal can be used, in every durability mode."""
    epochs: Mapping[int, str]
    """Salt by number of every start so far, this one included."""
    durability: Durability
    path: str
    """For people: where it is, or `memory`."""

    def replay(self) -> Iterator[StoredJob]:
        """Yield every job, in order of number; before the first `append`."""

    def append(self, groups: Sequence[Group], done: Callable[[Commit], None], *, wake: bool = True) -> None:
        """Queue groups for the next commit; `done` is called once after it, by whoever commits.

        With `wake` false nobody is woken for it: the caller says `commit_now` once it holds no lock.
        """

    def commit_now(self) -> None:
        """Commit what was appended on this thread, unless another is at it. `done` runs here, too."""

    def flush(self) -> None:
        """Return when everything appended before is committed."""

    def read_payloads(self, job: JobNumber, start: int, stop: int) -> bytes:
        """Return the lines of committed tasks, joined by newlines, without a last one."""

    def read_chunk(self, job: JobNumber, ordinal: int) -> StoredChunk | None:
        """Return what was committed under an ordinal."""

    def read_arrivals(self, job: JobNumber, after: int, limit: int) -> list[OutcomeRow]:
        """Return committed rows after number `after`: at least one if there is any, then up to `limit` bytes."""

    def read_index(self, job: JobNumber, start: int, stop: int, limit: int) -> list[OutcomePiece]:
        """Return the newest outcomes of committed tasks from `start` on, in order of index.

        Ends before `stop`, at the first task without an outcome, or (after at least one piece) at
        `limit` bytes. Where a retry made a task end twice, the row with the greater sequence number counts.
        """

    def checkpoint(self, job: JobNumber, next_record: int, body: bytes) -> None:
        """Keep `body` as the job's state before record `next_record`; records before it need no replay."""

    def forget(self, job: JobNumber) -> None:
        """Drop everything of a job."""

    def size(self) -> int:
        """Return the bytes it takes on disk."""

    def room(self) -> bool:
        """Say whether there is space for another submit."""

    def backup(self, target: str | Path) -> int:
        """Write a copy that can be opened as a journal, and return its size; commits go on.

        A relative `target` is beside the journal. JournalError if it can't be written.
        """

    def close(self) -> None:
        """Commit what was appended, and let go of the file."""
