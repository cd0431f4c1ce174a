"""A journal as JSON Lines, for people who leave or archive: one line per job, one per task.

A job's line comes before those of its tasks, which are in order of index. A task's line has its
payload, its state, and its newest outcome: the `value` it returned, or the `failure`. Payloads and
values are copied as they were written, never parsed, so that NaN and infinities stay what they are.
Rows are read a few at a time: it takes no more memory for a large journal than for a small one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from pydantic_core import to_json

from taskgrid.errors import JournalError
from taskgrid.journal.place import Lock
from taskgrid.journal.reads import Reader
from taskgrid.journal.snapshot import Snapshot
from taskgrid.journal.soundness import state_of
from taskgrid.journal.swap import refuse_unfinished
from taskgrid.journal.verify import jobs_in
from taskgrid.journal.wal import damaged, walk
from taskgrid.lifecycle import BYTE, ENDED, STATE
from taskgrid.model.outcome import FAILURE_MARK
from taskgrid.scheduler.state import Job

_AT_ONCE: Final = 1 << 20
_TASKS_AT_ONCE: Final = 1000
_CACHE: Final = 16 << 20
_ENDED: Final = frozenset(BYTE[state] for state in ENDED)


def export(path: str | Path) -> Iterator[bytes]:
    """Yield lines of JSON, each with its newline.

    Raises JournalError: there is none, it is damaged, or a master has it (export a backup then).
    """
    place = Path(path).absolute()
    if not place.exists():
        raise JournalError(f"there is no journal at {place}")
    lock = Lock(place)
    try:
        refuse_unfinished(place)
        _refuse_damaged_log(place)
        with closing(Snapshot(place)) as snapshot:
            yield from _Export(snapshot).lines()
    finally:
        lock.release()


def _refuse_damaged_log(place: Path) -> None:
    log = Path(f"{place}-wal")
    if log.exists() and (damage := walk(log).damage):
        raise damaged(place, damage)


class _Export:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        with snapshot.reading() as connection:
            self._forgotten = {job for (job,) in connection.execute("SELECT job FROM forgotten")}
            self._jobs = [job for job in jobs_in(connection) if job not in self._forgotten]
        self._reader = Reader(snapshot, _CACHE, self._forgotten)

    def lines(self) -> Iterator[bytes]:
        for number in self._jobs:
            with self._snapshot.reading() as connection:
                job = state_of(connection, number)
            yield _job_line(job)
            for start in range(0, job.total, _TASKS_AT_ONCE):
                yield from self._tasks(job, start, min(start + _TASKS_AT_ONCE, job.total))
            self._reader.forget(number)

    def _tasks(self, job: Job, start: int, stop: int) -> Iterator[bytes]:
        payloads = self._reader.payloads(job.number, start, stop).split(b"\n")
        outcomes = self._outcomes(job, start, stop)
        for index, payload in enumerate(payloads, start):
            ended = next(outcomes) if job.states[index] in _ENDED else b""
            state = STATE[job.states[index]].encode()
            yield b'{"kind":"task","job":%d,"index":%d,"state":"%s","payload":%s%s}\n' % (
                job.number,
                index,
                state,
                payload,
                ended,
            )

    def _outcomes(self, job: Job, start: int, stop: int) -> Iterator[bytes]:
        """Yield what the line of each task that has ended says of its outcome."""
        for low, high in _ended_runs(job, start, stop):
            at = low
            while at < high:
                pieces = self._reader.index(job.number, at, high, _AT_ONCE)
                if not pieces:
                    raise damaged(self._snapshot.path, f"the outcome of task {job.number}.{at} is missing")
                for piece in pieces:
                    yield from ([b""] * piece.count if piece.cancelled else map(_outcome, piece.lines.split(b"\n")))
                    at = piece.first + piece.count


def _ended_runs(job: Job, start: int, stop: int) -> Iterator[tuple[int, int]]:
    at = start
    for low, high in job.live_runs(start, stop):
        if at < low:
            yield at, low
        at = high
    if at < stop:
        yield at, stop


def _outcome(line: bytes) -> bytes:
    if line.startswith(FAILURE_MARK):
        return b',"failure":' + line[len(FAILURE_MARK) :]
    return b',"value":' + line


def _job_line(job: Job) -> bytes:
    told = job.spec.model_dump(mode="json", exclude={"code": {"sources"}})
    facts = {
        "kind": "job",
        "number": job.number,
        "tasks": job.total,
        "sealed": job.sealed,
        "abandoned": job.abandoned,
        "created_at": job.created_at,
        "ended_at": job.ended_at,
    }
    return to_json(facts | told) + b"\n"
