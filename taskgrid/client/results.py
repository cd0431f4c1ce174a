"""Iterations over a job's outcomes, in order of index or as they came.

Each keeps a cursor and one batch, never the job, and works over a connection of its own. The
cursor of a reply is always taken as it is: it may lie behind, after the master lost its last
moments. Outcomes by index keep their index, so what was given is skipped, not given twice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from taskgrid.client.link import Link
from taskgrid.client.outcomes import Batch, Codec, decode, errors
from taskgrid.clock import SystemClock
from taskgrid.model import JobId, JobNumber
from taskgrid.transport.channel import Ask
from taskgrid.transport.protocol import Cursor, FetchReply, FetchRequest, Order, OutcomeRun, Parts
from taskgrid.transport.proxies import prepared

POLL = 20.0
"""Seconds a fetch waits at the master for something new."""

_ANSWERS = 16
"""How many of one fetch: each spares a request, and those not read yet must fit into the connection."""

_CLOCK = SystemClock()

_PAUSE = 0.02
"""Seconds between two looks at a busy job that is only waited for."""


class Source(NamedTuple):
    """Whose outcomes are read, and how their lines become values."""

    link: Link
    job: JobId
    number: JobNumber
    codec: Codec


class Deadline:
    """How long the caller of an iteration will wait, in all."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._at = None if seconds is None else _CLOCK.now() + seconds

    def left(self, most: float) -> float:
        """Return the seconds left, `most` at most; never less than 0."""
        return most if self._at is None else max(0.0, min(most, self._at - _CLOCK.now()))

    def over(self) -> bool:
        """Say whether nothing is left."""
        return self._at is not None and _CLOCK.now() >= self._at

    def check(self) -> None:
        """Raise `TimeoutError` if nothing is left."""
        if self.over():
            raise TimeoutError(f"no result within {self._seconds:g} s")


def replies(
    link: Link,
    job: JobId,
    order: Order,
    *,
    cursor: Cursor | None = None,
    deadline: Deadline | None = None,
    ahead: bool = False,
) -> Iterator[tuple[FetchReply, Parts]]:
    """Yield each reply to a fetch until the job is complete and everything was answered.

    With `ahead` the next fetch is at the master before a reply is looked at, and gets several answers if they
    come one by one: for who never leaves early.
    """
    limit = deadline or Deadline(None)

    def ask(at: Cursor | None, answers: int = 1) -> FetchRequest:
        return FetchRequest(job=job, order=order, cursor=at or Cursor(), wait=limit.left(POLL), answers=answers)

    begun: Ask | None = None
    with link.results() as proxy:
        reply, parts = proxy.fetch(ask(cursor))
        while reply.rows or not reply.complete:
            if ahead and not (begun and proxy.awaits(begun)):
                begun = prepared("fetch", ask(reply.cursor, _ANSWERS))
                proxy.begin(begun)
            try:
                yield reply, parts
            except GeneratorExit:
                proxy.take_back(begun)
                raise
            if not reply.rows:
                limit.check()
            reply, parts = proxy.fetch(begun or ask(reply.cursor))
        yield reply, parts


def rows_by_index(link: Link, job: JobId, deadline: Deadline | None = None) -> Iterator[tuple[OutcomeRun, bytes, int]]:
    """Yield (row, its lines, how many of its tasks were given before), leaving out rows given whole."""
    expected = 0
    for reply, parts in replies(link, job, Order.INDEX, deadline=deadline):
        for row, part in zip(reply.rows, parts, strict=True):
            end = row.first + row.count
            if end > expected:
                yield row, part, max(0, expected - row.first)
                expected = end


def batches(source: Source, deadline: Deadline | None = None) -> Iterator[Batch]:
    """Yield what the tasks gave, in order of index."""
    for row, part, given in rows_by_index(source.link, source.job, deadline):
        yield decode(source.codec, source.number, row, part, given)


def in_order(source: Source, *, raising: bool) -> Iterator[Any]:
    """Yield each task's value in order; an error is raised or, if not `raising`, given in its place."""
    for batch in batches(source):
        if raising and (at := batch.first_error()) is not None:
            yield from batch.outcomes[:at]
            raise batch.outcomes[at]
        yield from batch.outcomes


def as_they_come(source: Source, *, raising: bool) -> Iterator[tuple[int, Any]]:
    """Yield (index, value) as tasks end; an error is raised or, if not `raising`, given in the value's place."""
    given = _Given()
    for reply, parts in replies(source.link, source.job, Order.ARRIVAL):
        given.begins(reply)
        for row, part in zip(reply.rows, parts, strict=True):
            batch = decode(source.codec, source.number, row, part)
            for index, outcome in enumerate(batch.outcomes, row.first):
                if given.before(index):
                    continue
                if raising and isinstance(outcome, BaseException):
                    raise outcome
                yield index, outcome
            given.add(row)


class _Given:
    """What an iteration by arrival gave: a byte a task, looked at only after its cursor was set back."""

    def __init__(self) -> None:
        self._seen = bytearray()
        self._position = 0
        self._set_back = False

    def before(self, index: int) -> bool:
        return self._set_back and index < len(self._seen) and bool(self._seen[index])

    def add(self, row: OutcomeRun) -> None:
        end = row.first + row.count
        if end > len(self._seen):
            self._seen.extend(bytes(max(end, 2 * len(self._seen)) - len(self._seen)))
        self._seen[row.first : end] = b"\1" * row.count

    def begins(self, reply: FetchReply) -> None:
        began = reply.cursor.position - len(reply.rows)  # rows are numbered without a gap
        self._set_back = self._set_back or began < self._position
        self._position = reply.cursor.position


def failed(source: Source) -> Iterator[tuple[int, BaseException]]:
    """Yield (index, error) of each failed task in order, once it and all before it have ended."""
    for row, part, given in rows_by_index(source.link, source.job):
        for index, error in errors(source.number, row, part):
            if index >= row.first + given:
                yield index, error


def until_complete(link: Link, job: JobId, deadline: Deadline) -> bool:
    """Wait for the job to be complete and say whether it is; outcomes are looked past, not read."""
    pause = threading.Event()
    cursor, wait = Cursor(), 0.0
    with link.results() as proxy:
        while True:
            request = FetchRequest(job=job, order=Order.ARRIVAL, cursor=cursor, wait=wait, limit=1)
            reply, _ = proxy.fetch(request)
            if reply.complete:
                return True
            if deadline.over():
                return False
            if wait and reply.rows:
                # A busy job ends something every moment: look at its end now and then, not at each.
                pause.wait(deadline.left(_PAUSE))
            position = max(reply.sequence, reply.cursor.position)
            cursor = reply.cursor.model_copy(update={"position": position})
            wait = deadline.left(POLL)
