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
from typing import NamedTuple

from taskgrid.journal.lines import ROW_WEIGHT, cut
from taskgrid.journal.protocol import OutcomePiece, OutcomeRow


class Extent(NamedTuple):
    """The tasks that one outcome row covers."""

    first: int
    stop: int
    sequence: int


class Piece(NamedTuple):
    """Tasks from `start` to before `stop`, whose newest outcomes lie in row `sequence`."""

    start: int
    stop: int
    sequence: int


def span_of(count: int) -> int:
    """Return the span of a row of `count` tasks."""
    return count.bit_length()


def reach(start: int, span: int) -> int:
    """Return the first task at which a row of `span` must begin to cover `start`, or before."""
    return start - (1 << span) + 1


def merged(by_span: Iterable[Iterator[Extent]]) -> Iterator[Extent]:
    """Merge the rows of each span into one order of their first tasks."""
    return heapq.merge(*by_span, key=attrgetter("first"))


def newest(extents: Iterator[Extent], start: int, stop: int) -> Iterator[Piece]:
    """Cut the newest rows into pieces from `start` on; ends before `stop` or at a task without a row."""
    covering: list[tuple[int, int]] = []
    ahead = next(extents, None)
    while start < stop:
        while ahead is not None and ahead.first <= start:
            heapq.heappush(covering, (-ahead.sequence, ahead.stop))
            ahead = next(extents, None)
        while covering and covering[0][1] <= start:
            heapq.heappop(covering)
        if not covering:
            return
        newer, end = covering[0]
        end = min(end, stop)
        while ahead is not None and ahead.first < end and ahead.sequence < -newer:
            heapq.heappush(covering, (-ahead.sequence, ahead.stop))
            ahead = next(extents, None)
        if ahead is not None:
            end = min(end, ahead.first)
        yield Piece(start, end, -newer)
        start = end


def collect(pieces: Iterable[Piece], row_of: Callable[[int], OutcomeRow], limit: int) -> list[OutcomePiece]:
    """Give each piece its lines, from the row of its sequence number; ends after one or more at `limit` bytes."""
    found: list[OutcomePiece] = []
    size = 0
    for piece in pieces:
        row = row_of(piece.sequence)
        start, stop = piece.start - row.first, piece.stop - row.first
        lines = b"" if row.cancelled else cut(row.lines, row.count, start, stop)
        size += len(lines) + ROW_WEIGHT
        if found and size > limit:
            break
        found.append(OutcomePiece(piece.start, stop - start, lines, row.cancelled, row.token))
    return found
