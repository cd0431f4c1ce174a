"""What the values of a job come to, merged as they come.

They are read in order of arrival and entered into a tree that their indices fix; merge blocks that their
worker merged come as one value. So nothing counts twice, the answer is the same in every run, and what is
held are the parts that have no neighbour yet. Knows nothing of how a job is submitted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any, NamedTuple

from taskgrid.client.outcomes import errors, has
from taskgrid.client.results import Deadline, Source, replies
from taskgrid.client.tree import Tree
from taskgrid.errors import TaskGridError
from taskgrid.functions import Signature
from taskgrid.functions.offers import function_named
from taskgrid.functions.reduction import BY_KIND, Merge, add_up
from taskgrid.model import FAILURE_MARK, MERGE_BLOCK, MERGED_MARK
from taskgrid.scheduler.runs import RunSet
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

        Raises the error of a task that failed or was cancelled as soon as that is read, and again at the end
        unless it was brought back meanwhile; TimeoutError.
        """
        while not self._reading.acquire(timeout=deadline.left(_LONG)):
            deadline.check()
        try:
            self._read_all(deadline)
            if self._failed:
                raise self._error_of(next(iter(self._failed))[0])
        finally:
            self._reading.release()
        with self._guard:
            return self._tree.partial()

    def _read_what_is_there(self) -> None:
        goal: int | None = None
        for reply, parts in self._replies(Deadline(0.0)):
            self._enter_all(reply, parts)
            goal = reply.sequence if goal is None else goal
            if not reply.rows or reply.cursor.position >= goal:
                return

    def _read_all(self, deadline: Deadline) -> None:
        for reply, parts in self._replies(deadline):
            failed = self._enter_all(reply, parts)
            if failed is not None:
                raise failed
            if reply.rows or not reply.complete:
                deadline.check()

    def _replies(self, deadline: Deadline) -> Iterator[tuple[FetchReply, Parts]]:
        source = self._source
        return replies(source.link, source.job, Order.ARRIVAL, cursor=self._cursor, deadline=deadline)

    def _enter_all(self, reply: FetchReply, parts: Parts) -> BaseException | None:
        """Enter a reply's outcomes; return the first error among them."""
        first: BaseException | None = None
        with self._guard:
            for row, part in zip(reply.rows, parts, strict=True):
                error = self._enter(row, part)
                first = first or error
        self._cursor = reply.cursor
        return first

    def _enter(self, row: OutcomeRun, part: bytes) -> BaseException | None:
        stop = row.first + row.count
        if row.cancelled:
            self._failed.add(row.first, stop)
            return self._cancelled(row.first)
        self._failed.remove(row.first, stop)
        if not (has(FAILURE_MARK, part) or has(MERGED_MARK, part)):
            for index, value in enumerate(self._source.codec.decode_values(part), row.first):
                self._tree.add(index, value)
            return None
        for index, line in enumerate(part.split(b"\n"), row.first):
            self._enter_line(index, line)
        return next((error for _, error in errors(self._source.number, row, part)), None)

    def _enter_line(self, index: int, line: bytes) -> None:
        if line.startswith(MERGED_MARK):
            self._tree.add_block(index // MERGE_BLOCK, self._source.codec.decode_value(line[len(MERGED_MARK) :]))
        elif line.startswith(FAILURE_MARK):
            self._failed.add(index, index + 1)
        elif line:  # else it is in its block's
            self._tree.add(index, self._source.codec.decode_value(line))

    def _cancelled(self, index: int) -> CancelledError:
        return CancelledError(f"task {self._source.number}.{index} was cancelled")

    def _error_of(self, index: int) -> BaseException:
        """Ask how a task that failed ended."""
        source = self._source
        for reply, parts in replies(source.link, source.job, Order.INDEX, cursor=Cursor(position=index)):
            for row, part in zip(reply.rows, parts, strict=True):
                if row.cancelled and row.first <= index < row.first + row.count:
                    return self._cancelled(index)
                for failed, error in errors(source.number, row, part):
                    if failed == index:
                        return error
        return TaskGridError(f"task {source.number}.{index} failed, and its outcome is not there any more")
