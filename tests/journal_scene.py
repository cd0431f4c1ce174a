"""Jobs in a journal as a master writes them: records, chunks and outcomes that belong together.

For tests that need a history and no master. Each call is one commit. A payload names its task, an
outcome names its task and the row it came in. It knows the journal's contract and no file.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from taskgrid.journal import ChunkRow, Group, Journal, OutcomeRow
from taskgrid.model import (
    Accepted,
    Cancelled,
    Cause,
    Created,
    Failure,
    JobId,
    JobNumber,
    JobSpec,
    Marked,
    Record,
    Reported,
    Retried,
    Run,
    Sealed,
    Token,
)
from taskgrid.model.outcome import failure_line
from taskgrid.scheduler import checkpoint

FILLER = "x" * 60
"""Makes rows long enough for a job to fill some pages."""

OF_BEFORE_COLUMNS = (
    b'{"number":1,"spec":{"id":"919927780841fd3b34b4ee224d45976f","function":"m:f","options":{"max_attempts":2,'
    b'"backoff":{"first":50.0}}},"created_at":1000.0,"ended_at":null,"next_ordinal":1,"next_record":13,'
    b'"next_sequence":6,"sealed":true,"abandoned":false,"any_code":false,"mark":30,"mark_record":6,"again":[],'
    b'"singles":[[2,3]],"elsewhere":[[3,"a"]],"delayed":[[1040.0,1],[1050.0,1],[1060.0,2]],"trails":['
    b'{"index":1,"floor":[1,3,"salt1"],"attempts":1,"errors":1,"history":["attempt 1: error: it failed"]},'
    b'{"index":2,"floor":[1,4,"salt1"],"attempts":1,"crashes":1,"alone":true,"history":["attempt 1: crash: it"]},'
    b'{"index":3,"floor":[1,5,"salt1"],"attempts":1,"not_on":"a","history":["attempt 1: error: no file"]}]}'
    b"\n" + zlib.compress(b"\x03\x01" + bytes(38))
)
"""A checkpoint as TaskGrid once wrote them: a delayed task, one to be run alone, one not for host a."""


@dataclass
class WrittenJob:
    """One job of a journal, and where it stands."""

    journal: Journal
    number: JobNumber
    records: int = 0
    chunks: int = 0
    tasks: int = 0
    rows: int = 0

    def create(self, **spec: object) -> WrittenJob:
        """Write its first record."""
        made = JobSpec(id=JobId(f"{self.number:032x}"), function="mylogs:count", **spec)
        self._commit([Created(number=self.number, spec=made, at=1.0)])
        return self

    def submit(self, count: int) -> WrittenJob:
        """Add a chunk."""
        chunk = ChunkRow(self.chunks, self.tasks, count, payloads(self.tasks, self.tasks + count))
        self._commit([Accepted(ordinal=self.chunks, first=self.tasks, count=count)], [chunk])
        self.chunks, self.tasks = self.chunks + 1, self.tasks + count
        return self

    def seal(self) -> WrittenJob:
        """Say that no more chunks come."""
        self._commit([Sealed(at=2.0)])
        return self

    def mark(self, mark: int) -> WrittenJob:
        """Let tasks below `mark` have been leased."""
        self._commit([Marked(mark=mark, epoch=self.journal.epoch.number)])
        return self

    def report(self, start: int, stop: int, failed: Sequence[Run] = ()) -> WrittenJob:
        """Report a run of tasks as ended."""
        record = Reported(
            token=self.token,
            number=1,
            runs=((start, stop),),
            failed=tuple(failed),
            first_sequence=self.rows + 1,
            at=3.0,
        )
        lines = outcomes(start, stop, failed, self.rows + 1)
        self._commit([record], [], [OutcomeRow(self.rows + 1, start, stop - start, self.token, 1, lines)])
        self.rows += 1
        return self

    def cancel(self, start: int, stop: int) -> WrittenJob:
        """Take a run of tasks back."""
        row = OutcomeRow(self.rows + 1, start, stop - start, None, 0, b"", cancelled=True)
        self._commit([Cancelled(runs=((start, stop),), first_sequence=self.rows + 1, at=3.0)], [], [row])
        self.rows += 1
        return self

    def retry(self, start: int, stop: int) -> WrittenJob:
        """Bring ended tasks back."""
        self._commit([Retried(runs=((start, stop),), floor=self.token, at=4.0)])
        return self

    def checkpoint(self) -> WrittenJob:
        """Keep its state, so that its records are not needed any more."""
        (stored,) = [stored for stored in self.journal.replay() if stored.number == self.number]
        job = checkpoint.replay(stored.checkpoint, stored.records)
        assert job is not None
        self.journal.checkpoint(self.number, self.records, checkpoint.dump(job))
        self.journal.flush()
        return self

    @property
    def token(self) -> Token:
        """A token of the journal's present start."""
        return Token(self.journal.epoch.number, self.records, self.journal.epoch.salt)

    def _commit(
        self, records: Sequence[Record], chunks: Sequence[ChunkRow] = (), rows: Sequence[OutcomeRow] = ()
    ) -> None:
        self.journal.append([Group(self.number, self.records, records, chunks, rows)], lambda _: None)
        self.journal.flush()
        self.records += len(records)


def payloads(start: int, stop: int) -> bytes:
    """Return the payloads of tasks."""
    return b"\n".join(b'[%d, "%s"]' % (task, FILLER.encode()) for task in range(start, stop))


def outcomes(start: int, stop: int, failed: Sequence[Run], row: int) -> bytes:
    """Return the outcome lines of tasks."""
    wrong = {task for low, high in failed for task in range(low, high)}
    return b"\n".join(_line(task, row, failed=task in wrong) for task in range(start, stop))


def _line(task: int, row: int, *, failed: bool) -> bytes:
    if failed:
        return failure_line(Failure(cause=Cause.ERROR, type="builtins.ValueError", message=f"task {task}"))
    return b'{"task": %d, "row": %d}' % (task, row)
