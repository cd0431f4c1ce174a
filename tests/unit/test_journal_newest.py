"""Which row holds each task's newest outcome: whatever overlaps, with holes, and in little memory."""

from __future__ import annotations

import random
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from taskgrid.journal.newest import newest, unbroken


@dataclass(frozen=True, eq=False)
class Row:
    """A row of which one can ask whether it is still held."""

    first: int
    stop: int
    sequence: int


def fresh(kinds: Iterable[tuple[int, int, int]], alive: weakref.WeakSet[Row]) -> Iterator[Row]:
    """Yield rows that nobody else holds."""
    for kind in kinds:
        row = Row(*kind)
        alive.add(row)
        yield row
        del row


@pytest.mark.parametrize("seed", range(20))
def test_each_task_is_of_the_newest_row_that_covers_it(seed: int) -> None:
    """As a naive reading says; tasks without a row are passed over, and end what must be unbroken."""
    dice = random.Random(seed)
    rows = [Row(first := dice.randrange(120), first + dice.choice([1, 1, 2, 9]), n) for n in range(1, 40)]
    dice.shuffle(rows)
    rows.sort(key=lambda row: row.first)
    expected = {
        task: max(row.sequence for row in rows if row.first <= task < row.stop)
        for task in range(10, 110)
        if any(row.first <= task < row.stop for row in rows)
    }
    found = {
        task: piece.row.sequence for piece in newest(iter(rows), 10, 110) for task in range(piece.start, piece.stop)
    }
    assert found == expected
    begun = [task for piece in unbroken(newest(iter(rows), 10, 110), 10) for task in range(piece.start, piece.stop)]
    assert begun == list(range(10, 10 + len(begun)))
    assert 10 + len(begun) not in expected


@pytest.mark.parametrize("again", [(), ((0, 2000, 5000),)], ids=["each once", "all again in one row"])
def test_a_long_job_of_small_rows_is_not_held_in_memory(again: tuple[tuple[int, int, int], ...]) -> None:
    """Rows that are behind, or hidden by a newer one, are let go of."""
    alive: weakref.WeakSet[Row] = weakref.WeakSet()
    most = 0
    for _ in newest(fresh([*again, *((at, at + 1, at + 1) for at in range(2000))], alive), 0, 2000):
        most = max(most, len(alive))
    assert 0 < most <= 4
