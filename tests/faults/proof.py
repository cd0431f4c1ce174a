"""The offline checker: proves from a run's history and its journal that nothing was lost or doubled.

It knows the journal's records and the rules of the fence, in its own words and none of the
scheduler's: a task ends once; a lease of later lifts the floor under it; an outcome counts only
under a token that is not below the floor. What the callers saw must be what the journal has, and
every value must be one that an attempt of that task could have returned.

The journal drops records behind a checkpoint; `keep_records` makes it keep a copy, before the run.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from history import History
from proof_grid import Attempt
from pydantic_core import from_json

from taskgrid.journal.sqlite import SqliteJournal
from taskgrid.journal.verify import verify
from taskgrid.model import (
    Accepted,
    Buried,
    Cancelled,
    JobNumber,
    Leased,
    Record,
    Reported,
    Retried,
    Run,
    Token,
)
from taskgrid.model.record import RECORD

_KEEP = """
CREATE TABLE kept_records (job INTEGER, n INTEGER, body BLOB, PRIMARY KEY (job, n));
CREATE TRIGGER keep_records BEFORE DELETE ON records
BEGIN INSERT OR REPLACE INTO kept_records VALUES (old.job, old.n, old.body); END;
"""
_RECORDS = "SELECT n, body FROM records WHERE job = ? UNION SELECT n, body FROM kept_records WHERE job = ? ORDER BY n"
_OUTCOMES = "SELECT sequence, first, count, token, lines FROM outcomes WHERE job = ? ORDER BY sequence"


def keep_records(journal: Path) -> None:
    """Make a journal that keeps a copy of each record it drops."""
    SqliteJournal(journal).close()
    with closing(sqlite3.connect(journal)) as connection:
        connection.executescript(_KEEP)


@dataclass
class Proof:
    """What the checker found of one job."""

    accepted: int = 0
    lost: int = 0
    """Accepted, and never ended."""
    doubled: int = 0
    """Ended more than once."""
    wrong: list[str] = field(default_factory=list)
    """A sentence for each thing that must not be."""

    def demand(self) -> None:
        """Fail unless all is well."""
        sentences = [f"{self.lost} lost, {self.doubled} doubled of {self.accepted}", *self.wrong[:20]]
        assert self.lost == self.doubled == len(self.wrong) == 0, "\n".join(sentences)


def prove(
    journal: Path,
    job: int,
    *,
    history: History,
    attempts: Iterable[Attempt],
    expected: Callable[[int, Any, set[tuple[int, int]]], bool],
) -> Proof:
    """Judge a job from the records that know nothing of each other.

    `expected(index, value, attempts)` says whether one of the task's attempts, each (number, process),
    could have returned that value.
    """
    proof = Proof(wrong=[f"the journal: {finding}" for finding in verify(journal).findings])
    with closing(sqlite3.connect(journal)) as connection:
        rows = connection.execute(_RECORDS, (job, job)).fetchall()
        if [number for number, _ in rows] != list(range(len(rows))):
            proof.wrong.append(f"records of job {job} are missing")
        ends = audit((RECORD.validate_json(body) for _, body in rows), proof)
        values = _outcomes(connection, job, ends, proof)
    _check_values(values, attempts, JobNumber(job), expected, proof)
    _check_callers(values, history, job, proof)
    return proof


def audit(records: Iterable[Record], proof: Proof) -> dict[int, Token | None]:
    """Walk a job's records by the rules of the fence; return the token under which each task ended."""
    ledger = _Ledger(proof)
    for record in records:
        ledger.enter(record)
    proof.accepted = ledger.total
    proof.lost = ledger.total - len(ledger.ended)
    return ledger.ended


class _Ledger:
    """Each task's floor and end, as the records say."""

    def __init__(self, proof: Proof) -> None:
        self.proof = proof
        self.total = 0
        self.floors: dict[int, Token] = {}
        self.ended: dict[int, Token | None] = {}

    def enter(self, record: Record) -> None:
        match record:
            case Accepted():
                if record.first != self.total:
                    self._wrong(f"a chunk begins at {record.first}, not at {self.total}")
                self.total += record.count
            case Leased():
                self._lease(record)
            case Reported():
                self._report(record)
            case Buried():
                self._end(record.index, None)
            case Cancelled():
                for index in _indices(record.runs):
                    self._end(index, None)
            case Retried():
                for index in _indices(record.runs):
                    self.ended.pop(index, None)
                    self.floors[index] = record.floor
            case _:
                pass  # says nothing of a task

    def _lease(self, record: Leased) -> None:
        for index in _indices(record.runs):
            if index in self.ended:
                self._wrong(f"task {index} was leased after its end")
            if record.token <= self.floors.get(index, Token(0, 0, "")):
                self._wrong(f"task {index} was leased under {record.token}, which is not above its floor")
            self.floors[index] = record.token

    def _report(self, record: Reported) -> None:
        for index in [*_indices(record.runs), *(again.index for again in record.again)]:
            if record.token < self.floors.get(index, record.token):
                self._wrong(f"task {index} was committed under {record.token}, superseded by {self.floors[index]}")
        for index in _indices(record.runs):
            self._end(index, record.token)
        for again in record.again:
            if again.index in self.ended:
                self._wrong(f"task {again.index} failed after its end")
            self.floors[again.index] = record.token.next()

    def _end(self, index: int, token: Token | None) -> None:
        if index >= self.total:
            self._wrong(f"task {index} ended, and was never accepted")
        if index in self.ended:
            self.proof.doubled += 1
            self._wrong(f"task {index} ended twice, under {self.ended[index]} and {token}")
        self.ended[index] = token

    def _wrong(self, sentence: str) -> None:
        self.proof.wrong.append(sentence)


def _indices(runs: Iterable[Run]) -> Iterator[int]:
    for start, stop in runs:
        yield from range(start, stop)


def _outcomes(
    connection: sqlite3.Connection, job: int, ends: dict[int, Token | None], proof: Proof
) -> dict[int, bytes]:
    """Return the kept outcome of each task, and compare with the records who wrote it."""
    found: dict[int, bytes] = {}
    for expected, (sequence, first, count, token, lines) in enumerate(connection.execute(_OUTCOMES, (job,)), 1):
        if sequence != expected:
            proof.wrong.append(f"outcome row {expected} is missing")
        ended = [None if end is None else f"{end.epoch} {end.counter} {end.salt}" for end in _of(ends, first, count)]
        if any(each != token for each in ended):
            proof.wrong.append(f"outcome row {sequence} has token {token}, the records say {set(ended)}")
        for index, line in enumerate(lines.split(b"\n") if lines else [b""] * count, first):
            proof.doubled += index in found
            found[index] = line
    if found.keys() != ends.keys():
        proof.wrong.append(f"{len(found.keys() ^ ends.keys())} tasks ended in the records alone, or in the rows alone")
    return found


def _of(ends: dict[int, Token | None], first: int, count: int) -> list[Token | None]:
    return [ends.get(index) for index in range(first, first + count)]


def _check_values(
    values: dict[int, bytes],
    attempts: Iterable[Attempt],
    job: JobNumber,
    expected: Callable[[int, Any, set[tuple[int, int]]], bool],
    proof: Proof,
) -> None:
    begun: dict[int, set[tuple[int, int]]] = {}
    for one in attempts:
        if one.job == job:
            begun.setdefault(one.index, set()).add((one.attempt, one.pid))
    for index, line in values.items():
        if line.startswith(b"!") or not line:
            proof.wrong.append(f"task {index} did not succeed: {line[:200]!r}")
        elif not expected(index, from_json(line), begun.get(index, set())):
            proof.wrong.append(f"task {index} has {line!r}, which none of its attempts returned")


def _check_callers(values: dict[int, bytes], history: History, job: int, proof: Proof) -> None:
    """Compare what callers were told with what the journal has."""
    for event in history.events("accepted"):
        if event["job"] == job and event["total"] != proof.accepted:
            proof.wrong.append(f"a client was told {event['total']} accepted, the journal has {proof.accepted}")
    kept = {index: from_json(line) for index, line in values.items() if line and not line.startswith(b"!")}
    seen: Counter[tuple[str, int]] = Counter()
    for event in history.events("got"):
        for index, value in event["values"] if event["job"] == job else ():
            seen[event["reader"], index] += 1
            if kept.get(index) != value:
                proof.wrong.append(
                    f"{event['reader']} got {value!r} of task {index}, the journal has {kept.get(index)!r}"
                )
    proof.wrong += [f"{reader} got task {index} {times} times" for (reader, index), times in seen.items() if times > 1]


def seen_by(history: History, job: int, reader: str) -> int:
    """Return how many tasks' values a caller saw."""
    return sum(
        len(event["values"]) for event in history.events("got") if (event["job"], event["reader"]) == (job, reader)
    )


def recoveries(history: History, attempts: Iterable[Attempt]) -> dict[str, list[float]]:
    """Return, by victim, the seconds from each kill until what it held back went on.

    After a task process's or a worker's death that is when the last task it was at began again
    elsewhere (a task whose outcome was reported already never does, and doesn't count); after a
    master's or a client's, when some caller next got a value.
    """
    begun = sorted(attempts, key=lambda one: one.at)
    got = sorted(event["at"] for event in history.events("got"))
    found: dict[str, list[float]] = {}
    for event in history.events("killed"):
        if event["victim"] in ("task", "worker"):
            seconds = _begun_again(event, begun)
        else:
            seconds = [at - event["at"] for at in got if at > event["at"]][:1]
        found.setdefault(event["victim"], []).extend(seconds)
    return found


def _begun_again(event: dict[str, Any], begun: list[Attempt]) -> list[float]:
    last = {one.pid: one for one in begun if one.pid in event["pids"] and one.at <= event["at"]}
    again = (
        next((one.at for one in begun if one.at > event["at"] and one.job == own.job and one.index == own.index), None)
        for own in last.values()
    )
    return [at - event["at"] for at in again if at is not None]
