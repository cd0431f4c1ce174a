"""A set of task indices kept as sorted, disjoint, non-touching runs.

Ten million indices in one run cost one pair of numbers; a set that is in pieces costs two list
entries a piece. Knows nothing of tasks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from operator import sub

from taskgrid.model import Run


class RunSet:
    """A mutable set of indices; runs are `(start, stop)`, without `stop`."""

    __slots__ = ("_starts", "_stops", "size")

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.size = 0
        """How many indices it has: what `len` says, at a quarter of the price."""
        for start, stop in runs:
            self.add(start, stop)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Run]:
        return zip(self._starts, self._stops, strict=True)

    def copy(self) -> RunSet:
        """Return a set of its own with the same indices."""
        new = RunSet()
        new._starts, new._stops, new.size = self._starts[:], self._stops[:], self.size
        return new

    def runs(self) -> tuple[Run, ...]:
        """Return the runs, in order."""
        return tuple(self)

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._starts, index) - 1
        return at >= 0 and index < self._stops[at]

    def covers(self, start: int, stop: int) -> bool:
        """Say whether every index of the run is in the set."""
        at = bisect_right(self._starts, start) - 1
        return start >= stop or (at >= 0 and stop <= self._stops[at])

    def add(self, start: int, stop: int) -> None:
        """Add a run; what is there already stays."""
        if start >= stop:
            return
        if not self._stops or start > self._stops[-1]:  # mostly in order
            self._starts.append(start)
            self._stops.append(stop)
            self.size += stop - start
            return
        low = bisect_left(self._stops, start)
        high = bisect_right(self._starts, stop)
        if low < high:
            self.size -= sum(self._stops[at] - self._starts[at] for at in range(low, high))
            start, stop = min(start, self._starts[low]), max(stop, self._stops[high - 1])
        self._starts[low:high] = [start]
        self._stops[low:high] = [stop]
        self.size += stop - start

    def remove(self, start: int, stop: int) -> None:
        """Remove a run; what is not there stays away."""
        if start >= stop:
            return
        if len(self._starts) == 1 and start <= self._starts[0] and self._stops[0] <= stop:  # mostly all there is
            self._starts.clear()
            self._stops.clear()
            self.size = 0
            return
        low = bisect_right(self._stops, start)
        high = bisect_left(self._starts, stop)
        if low >= high:
            return
        if start <= self._starts[low] and self._stops[high - 1] <= stop:  # mostly one run, and all of it
            self.size -= sum(map(sub, self._stops[low:high], self._starts[low:high]))
            del self._starts[low:high], self._stops[low:high]
            return
        pieces = [(a, b) for a, b in ((self._starts[low], start), (stop, self._stops[high - 1])) if a < b]
        self.size -= sum(self._stops[at] - self._starts[at] for at in range(low, high))
        self._starts[low:high] = [a for a, _ in pieces]
        self._stops[low:high] = [b for _, b in pieces]
        self.size += sum(b - a for a, b in pieces)

    def within(self, start: int, stop: int) -> list[Run]:
        """Return the part of the set that lies in the run."""
        if start >= stop:
            return []
        low = bisect_right(self._stops, start)
        high = bisect_left(self._starts, stop)
        return [(max(self._starts[at], start), min(self._stops[at], stop)) for at in range(low, high)]

    def take(self, most: int) -> list[Run]:
        """Remove up to `most` of the lowest indices and return them."""
        taken: list[Run] = []
        for start, stop in self:
            if most <= 0:
                break
            taken.append((start, min(stop, start + most)))
            most -= taken[-1][1] - start
        if taken:
            self.remove(0, taken[-1][1])  # at once: each removal at the front moves all that follows
        return taken


def subtract(run: Run, holes: Iterable[Run]) -> list[Run]:
    """Return what is left of a run without `holes`, which are in order and inside it."""
    left: list[Run] = []
    at, stop = run
    for low, high in holes:
        if at < low:
            left.append((at, low))
        at = high
    if at < stop:
        left.append((at, stop))
    return left


def as_runs(indices: Iterable[int]) -> list[Run]:
    """Return ascending indices as runs."""
    runs: list[Run] = []
    for index in indices:
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs


def count(runs: Iterable[Run]) -> int:
    """Return how many indices the runs have."""
    total = 0
    for start, stop in runs:
        total += stop - start
    return total
