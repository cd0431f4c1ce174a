"""Which row holds the newest outcome of each task, where rows of several attempts overlap.

A retry makes a task end twice, so that two rows cover it; the one with the greater sequence number
counts. Rows come in order of their first task. To find those that begin before a task and still
cover it without looking back for ever, both journals keep rows by *span*, the number of bits of
their count: a row of a span reaches less than 2 ** span tasks. Where rows lie is not known here.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Generic, NamedTuple, Protocol, TypeVar

from taskgrid.journal.lines import ROW_WEIGHT, cut
from taskgrid.journal.protocol import OutcomePiece, OutcomeRow


class Extent(NamedTuple):
    """The tasks that one outcome row covers."""

    first: int
    stop: int
    sequence: int


class Covers(Protocol):
    """What is known of a row: an `Extent`, or the whole row where all rows are read anyway."""

    @property
    def first(self) -> int:
        """Its first task."""

    @property
    def stop(self) -> int:
        """The task behind its last."""

    @property
    def sequence(self) -> int:
        """Its number."""


C = TypeVar("C", bound=Covers)


class Piece(NamedTuple, Generic[C]):
    """Tasks from `start` to before `stop`, whose newest outcomes lie in `row`."""

    start: int
    stop: int
    row: C


def span_of(count: int) -> int:
    """Return the span of a row of `count` tasks."""
    return count.bit_length()


def reach(start: int, span: int) -> int:
    """Return the first task at which a row of `span` must begin to cover `start`, or before."""
    return start - (1 << span) + 1


def merged(by_span: Iterable[Iterator[C]]) -> Iterator[C]:
    """Merge the rows of each span into one order of their first tasks."""
    return heapq.merge(*by_span, key=attrgetter("first"))


def newest(rows: Iterator[C], start: int, stop: int) -> Iterator[Piece[C]]:
    """Cut the newest rows into pieces from `start` to `stop` at most; tasks without a row are in none.

    However many rows there are, those alone are held that cover what is to come and are not hidden there.
    """
    covering: list[tuple[int, int, C]] = []
    ahead = next(rows, None)
    while start < stop:
        while covering and covering[0][1] <= start:
            heapq.heappop(covering)
        while ahead is not None and ahead.first <= start:
            _cover(covering, ahead, start)
            ahead = next(rows, None)
        if not covering:
            if ahead is None:
                return
            start = ahead.first
            continue
        newer, end, row = covering[0]
        while ahead is not None and ahead.first < end and ahead.sequence < -newer:
            _cover(covering, ahead, start)
            ahead = next(rows, None)
        end = min(end, stop, stop if ahead is None else ahead.first)
        yield Piece(start, end, row)
        start = end


def _cover(covering: list[tuple[int, int, C]], row: C, start: int) -> None:
    stop, order = row.stop, -row.sequence
    if stop > start and not (covering and covering[0][0] < order and stop <= covering[0][1]):
        heapq.heappush(covering, (order, stop, row))


def unbroken(pieces: Iterable[Piece[C]], start: int) -> Iterator[Piece[C]]:
    """Yield pieces from `start` on, up to the first task that is in none."""
    for piece in pieces:
        if piece.start != start:
            return
        yield piece
        start = piece.stop


def collect(pieces: Iterable[Piece[C]], row_of: Callable[[int], OutcomeRow], limit: int) -> list[OutcomePiece]:
    """Give each piece its lines, from the row of its sequence number; ends after one or more at `limit` bytes."""
    found: list[OutcomePiece] = []
    size = 0
    for piece in pieces:
        row = row_of(piece.row.sequence)
        start, stop = piece.start - row.first, piece.stop - row.first
        lines = b"" if row.cancelled else cut(row.lines, row.count, start, stop)
        size += len(lines) + ROW_WEIGHT
        if found and size > limit:
            break
        found.append(OutcomePiece(piece.start, stop - start, lines, row.cancelled, row.token))
    return found
