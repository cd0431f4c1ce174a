"""Taking tasks back from a child, so that each is run by exactly one party.

First the limit is lowered to what the child was not seen to begin. A tick later its word is read
again: what it has not begun by then it never will, and is free to run elsewhere. What lies between the
limit and that word it either runs or, when it meets the limit, says to be stopped at. See `words`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from taskgrid.worker.assigned import Assigned
from taskgrid.worker.held import Work
from taskgrid.worker.words import Words

TICK: Final = 0.025
"""Seconds between two looks at the running tasks, and between the two steps of taking tasks back."""

Give = Callable[[list[Work]], None]
"""Who gets what was taken back."""


class Cut:
    """Tasks of one child that are being taken back, from the lowered limit to the child's word that it stopped."""

    def __init__(self, words: Words, give: Give, now: float) -> None:
        """Lower the limit; `now` is monotonic."""
        words.lower(words.unbegun())
        self._words = words
        self._give = give
        self._began_at = now
        self._is_settled = False

    def settle(self, assigned: Assigned, now: float) -> None:
        """Take back what was not begun a tick after the limit was lowered."""
        if not self._is_settled and now - self._began_at >= TICK:
            self._is_settled = True
            self._take(assigned, self._words.unbegun())

    def stopped(self, assigned: Assigned, at: int) -> None:
        """Take back what the child says it will not begin; the limit can be lifted then."""
        self._take(assigned, at)
        self._words.lift()

    def _take(self, assigned: Assigned, start: int) -> None:
        if works := assigned.take_back(start):
            self._give(works)
