"""What the values of a job come to, merged as they come.

They are read in order of arrival and entered into a tree that their indices fix; merge blocks that their
worker merged come as one value. So nothing counts twice, the answer is the same in every run, and what is
held are the parts that have no neighbour yet. Knows nothing of how a job is submitted.

Arrivals tell a task's whole story: one that failed and was brought back fails there first, and succeeds later.
So an error is told only once everything that is there was read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any, NamedTuple

from taskgrid.client.outcomes import errors, has
from taskgrid.client.results import Deadline, Source, replies
from taskgrid.client.tree import Tree
from taskgrid.functions import Signature
from taskgrid.functions.offers import function_named
from taskgrid.functions.reduction import BY_KIND, Merge, add_up
from taskgrid.model import FAILURE_MARK, MERGE_BLOCK, MERGED_MARK
from taskgrid.scheduler.runs import RunSet, subtract
from taskgrid.transport.protocol import Cursor, FetchReply, Order, OutcomeRun, Parts

_LONG = 1e6
"""Seconds that stand for any number of them."""


class Reduction(NamedTuple):
    """How a job's values are merged, as far as that is at hand."""

    function: Callable[..., Any] | str
    how: Merge | str

    def of(self, source: Source) -> Reduced:
        """Begin to merge; what is known by name is imported here, FunctionRefused if that can't be."""
        function = function_named(self.function) if isinstance(self.function, str) else self.function
        source = source._replace(codec=Signature.of(function))
        merge = self.how if callable(self.how) else add_up if self.how == BY_KIND else function_named(self.how)
        return Reduced(source, merge)


class Reduced:
    """One job's values on their way into one; safe to ask from any thread."""

    def __init__(self, source: Source, merge: Merge) -> None:
        self._source = source
        self._tree: Tree[Any] = Tree(merge)
        self._cursor = Cursor()
        self._failed = RunSet()
        self._told = RunSet()
        self._reading = threading.Lock()  # one thread reads, for all
        self._guard = threading.Lock()

    def partial(self) -> Any:
        """Return the values that are there now, merged in order; None if there are none."""
        if self._reading.acquire(blocking=False):
            try:
                self._read_what_is_there()
            finally:
                self._reading.release()
        with self._guard:
            return self._tree.partial()

    def result(self, deadline: Deadline) -> Any:
        """Return all values merged once every task has ended, None if there are none.

        Raises the error of a task that failed or was cancelled as soon as that is known, and again at the end
        unless it was brought back meanwhile; TimeoutError.
        """
        failed = self._read(deadline, raising=True)
        if failed is not None:
            raise failed[1]
        with self._guard:
            return self._tree.partial()

    def wait(self, deadline: Deadline) -> tuple[int, BaseException] | None:
        """Read until every task has ended; return the first that has no value, and why. Raises TimeoutError."""
        return self._read(deadline, raising=False)

    def _read(self, deadline: Deadline, *, raising: bool) -> tuple[int, BaseException] | None:
        """Read to the end; return the first task without a value, and its error, `raising` the first that is known."""
        while not self._reading.acquire(timeout=deadline.left(_LONG)):
            deadline.check()
        try:
            self._read_what_is_there()
            while True:
                if raising:
                    self._tell()
                self._read_all(deadline, raising=raising)
                first = next((start for start, _ in self._failed), None)
                if first is None:
                    return None
                if error := self._error_of(first):  # else it was brought back: there is more to come
                    return first, error
        finally:
            self._reading.release()

    def _read_all(self, deadline: Deadline, *, raising: bool) -> None:
        for reply, parts in self._replies(deadline):
            self._enter_all(reply, parts)
            if raising and reply.cursor.position >= reply.sequence:
                self._tell()
            if reply.rows or not reply.complete:
                deadline.check()

    def _read_what_is_there(self) -> None:
        goal: int | None = None
        for reply, parts in self._replies(Deadline(0.0)):
            self._enter_all(reply, parts)
            goal = reply.sequence if goal is None else goal
            if not reply.rows or reply.cursor.position >= goal:
                return

    def _replies(self, deadline: Deadline) -> Iterator[tuple[FetchReply, Parts]]:
        source = self._source
        return replies(source.link, source.job, Order.ARRIVAL, cursor=self._cursor, deadline=deadline)

    def _tell(self) -> None:
        """Raise the error of a task that failed, if none was raised for it yet; one stands for its neighbours."""
        for run in self._failed:
            for start, stop in subtract(run, self._told.within(*run)):
                self._told.add(start, stop)
                if error := self._error_of(start):
                    raise error

    def _enter_all(self, reply: FetchReply, parts: Parts) -> None:
        with self._guard:
            for row, part in zip(reply.rows, parts, strict=True):
                self._enter(row, part)
        self._cursor = reply.cursor

    def _enter(self, row: OutcomeRun, part: bytes) -> None:
        stop = row.first + row.count
        if row.cancelled:
            self._failed.add(row.first, stop)
            return
        self._failed.remove(row.first, stop)
        self._told.remove(row.first, stop)
        if has(FAILURE_MARK, part) or has(MERGED_MARK, part):
            for index, line in enumerate(part.split(b"\n"), row.first):
                self._enter_line(index, line)
            return
        for index, value in enumerate(self._source.codec.decode_values(part), row.first):
            self._tree.add(index, value)

    def _enter_line(self, index: int, line: bytes) -> None:
        if line.startswith(MERGED_MARK):
            self._tree.add_block(index // MERGE_BLOCK, self._source.codec.decode_value(line[len(MERGED_MARK) :]))
        elif line.startswith(FAILURE_MARK):
            self._failed.add(index, index + 1)
        elif line:  # else it is in its block's
            self._tree.add(index, self._source.codec.decode_value(line))

    def _error_of(self, index: int) -> BaseException | None:
        """Ask how a task ended that failed; None if it was brought back."""
        source = self._source
        asked = replies(source.link, source.job, Order.INDEX, cursor=Cursor(position=index), deadline=Deadline(0.0))
        reply, parts = next(asked)
        for row, part in zip(reply.rows, parts, strict=True):
            if row.first <= index < row.first + row.count:
                if row.cancelled:
                    return CancelledError(f"task {source.number}.{index} was cancelled")
                return dict(errors(source.number, row, part)).get(index)
        return None
