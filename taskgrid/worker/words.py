"""The words of shared memory between a child and its agent: what runs, since when, how far it may go.

Every task that a child gets has an *ordinal*, dense over the child's life, so one word says both
which bundle and which task. The child writes `SINCE`, then `AT`, then reads `LIMIT`, and begins the
task only if `AT` is below it. The agent, to take tasks back, lowers `LIMIT`, waits for a tick, then
reads `AT`: what it does not see begun by then will never begin, for the child reads the limit after
it wrote `AT`. Each word is one aligned store. The file knows nothing of bundles or processes.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

AT: Final = 0
"""The ordinal of the running task; `~n` between tasks, where *n* is the next one."""
SINCE: Final = 1
"""When it began, in monotonic nanoseconds; written before `AT`, so that it is never older than that."""
LIMIT: Final = 2
"""No task from this ordinal on begins."""
MERGING: Final = 3
"""1 while values are merged: `AT` then names a task that has ended, and is not to blame for anything."""

NO_LIMIT: Final = (1 << 63) - 1
_SIZE: Final = mmap.PAGESIZE


class Words:
    """The words, mapped from a descriptor that both processes hold."""

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, _SIZE)
        self.view: memoryview[int] = memoryview(self._map).cast("q")
        """The words by name: `view[AT]`; the child's loop goes straight to it."""

    def running(self) -> tuple[int, int] | None:
        """Return the running task's ordinal and when it began (not before that), or None between tasks."""
        while True:
            at = self.view[AT]
            since = self.view[SINCE]
            if at == self.view[AT]:
                return None if at < 0 else (at, since)

    def last_began(self) -> int:
        """Return when the task that runs, or ran last, began."""
        return self.view[SINCE]

    def unbegun(self) -> int:
        """Return the least ordinal that was not seen to begin."""
        at = self.view[AT]
        return ~at if at < 0 else at + 1

    def merging(self) -> bool:
        """Say whether values are merged."""
        return self.view[MERGING] == 1

    def lower(self, limit: int) -> None:
        """Forbid the child to begin anything from `limit` on."""
        self.view[LIMIT] = limit

    def lift(self) -> None:
        """Let the child go on as far as it can."""
        self.view[LIMIT] = NO_LIMIT

    def close(self) -> None:
        """Unmap the words; the other process keeps its own mapping."""
        self.view.release()
        self._map.close()


def new_words() -> int:
    """Make the words of a new child, with nothing begun and no limit; return their descriptor."""
    descriptor = os.memfd_create("taskgrid-words")
    os.ftruncate(descriptor, _SIZE)
    words = Words(descriptor)
    words.view[AT] = ~0
    words.lift()
    words.close()
    return descriptor
