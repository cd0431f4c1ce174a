"""What one child has been sent and not ended, by ordinal: the agent's half of taking tasks back.

Ordinals are dense over a child's life: the first work sent gets 0 to its count, the next goes on
from there. Every task placed here leaves exactly once: it ended, it was taken back, or it remained
when the child died. Pure bookkeeping; knows no process and no shared memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from taskgrid.model import Run
from taskgrid.worker.frames import Nonsense
from taskgrid.worker.held import Lease, Work
from taskgrid.worker.positions import part


@dataclass(slots=True)
class Placed:
    """A work in a child: its tasks have the ordinals `first` up to `stop`; those below `ended` have ended."""

    work: Work
    first: int
    ended: int
    stop: int

    def rest(self, start: int) -> Work | None:
        """Return what has not ended of the work, from the ordinal `start` on."""
        start = max(start, self.ended)
        if start >= self.stop:
            return None
        if start == self.first and self.stop == self.first + self.work.count:
            return self.work
        below, _ = self.work.split(self.stop - self.first)
        return below.split(start - self.first)[1]


class Assigned:
    """The works of one child, in the order in which it was sent them."""

    def __init__(self) -> None:
        self.placed: deque[Placed] = deque()
        """What has not ended, in order; looked at from elsewhere, changed here."""
        self.next = 0
        """The ordinal of the next task to be placed."""

    def works(self) -> Iterator[Work]:
        """Yield the works that have not ended."""
        return (placed.work for placed in self.placed)

    def rests(self) -> list[Work]:
        """Return what has not ended, in order, and keep it."""
        return [rest for placed in self.placed if (rest := placed.rest(0)) is not None]

    def place(self, work: Work) -> int:
        """Add a work and return the ordinal of its first task."""
        first = self.next
        self.next += work.count
        self.placed.append(Placed(work, first, first, self.next))
        return first

    def end(self, first: int, count: int) -> tuple[Lease, tuple[Run, ...]]:
        """Count tasks as ended, which the child ends in order; return whose they are."""
        head = self.placed[0] if self.placed else None
        if head is None or first != head.ended or first + count > head.stop:
            raise Nonsense(f"a task process said that it ended {count} tasks from {first} on, which it was not running")
        head.ended += count
        runs = head.work.runs
        if count != head.work.count:
            runs = part(runs, first - head.first, first - head.first + count)
        if head.ended == head.stop:
            self.placed.popleft()
        return head.work.lease, runs

    def begun(self, unbegun: int) -> list[int]:
        """Return the ordinals of the tasks that began, below `unbegun`, and have not ended."""
        return [ordinal for placed in self.placed for ordinal in range(placed.ended, min(placed.stop, unbegun))]

    def find(self, ordinal: int) -> tuple[Work, int] | None:
        """Return the work and the index of an assigned task; None if it has ended or was taken back."""
        for placed in self.placed:
            if placed.ended <= ordinal < placed.stop:
                position = ordinal - placed.first
                return placed.work, part(placed.work.runs, position, position + 1)[0][0]
        return None

    def take_back(self, start: int) -> list[Work]:
        """Remove and return everything from the ordinal `start` on that has not ended."""
        taken = [rest for placed in self.placed if (rest := placed.rest(start)) is not None]
        for placed in self.placed:
            placed.stop = max(placed.ended, min(placed.stop, start))
        self.placed = deque(placed for placed in self.placed if placed.ended < placed.stop)
        return taken

    def holds_beyond(self, ordinal: int) -> bool:
        """Say whether anything from this ordinal on is assigned."""
        return bool(self.placed) and self.placed[-1].stop > ordinal

    def remove_all(self, *, but: int | None = None) -> list[Work]:
        """Remove and return everything that has not ended, in order, without the task `but`."""
        if but is None:
            return self.take_back(0)
        above = self.take_back(but + 1)
        self.take_back(but)
        return self.take_back(0) + above
