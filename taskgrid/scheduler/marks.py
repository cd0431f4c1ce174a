"""In which epoch first leases may have gone to a task: what refuses a report under one of before.

A task's first lease is no record, but the mark that lets it out is, with its epoch: a restart puts the cursor at
the mark, so each task goes out for the first time in the epoch that moved the mark over it, and what goes out later
is a record. Where a journal lost its end, with the power or to an older backup, a mark of before is gone and its
tasks go out as if for the first time; one of before a job gives its number to another. A report under a token of
before that epoch is then from a lease which the journal does not know of any more, and another may have been given.

Tasks of one epoch are one stretch, so that this costs a job no more than the master's starts since it came.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from taskgrid.model import Token
from taskgrid.scheduler.trails import rank


class Marks:
    """The stretches of a job's tasks by the epoch that moved the mark over them."""

    def __init__(self, stretches: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._epochs: list[int] = []
        for start, epoch in stretches:
            self.move(start, epoch)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._epochs, strict=True)

    def move(self, start: int, epoch: int) -> None:
        """Let the mark have been moved from `start` on in `epoch`; 0 is one of which no journal tells."""
        while self._starts and self._starts[-1] >= start:
            del self._starts[-1], self._epochs[-1]
        if not self._epochs or self._epochs[-1] != epoch:
            self._starts.append(start)
            self._epochs.append(epoch)

    def floor(self, index: int) -> int:
        """Return the least rank that a lease of a task which went out once may have."""
        at = bisect_right(self._starts, index) - 1
        return rank(Token(self._epochs[at], 0, "")) if at >= 0 else 0
