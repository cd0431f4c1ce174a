"""When the next child may be started: later and later after children that came to nothing, and at last never.

A child that got something done clears the count. It starts nothing itself.
"""

from __future__ import annotations

import time
from typing import Final

import structlog

from taskgrid.errors import TaskGridError

_BARREN: Final = 3
"""Children in a row that came to nothing before the worker gives up."""
_FIRST_WAIT: Final = 0.2
_MOST_WAIT: Final = 5.0
"""Seconds before another child is started after one that came to nothing, doubled each time."""

log = structlog.get_logger()


class Births:
    """Counts children in a row that came to nothing; `next_at` is a monotonic instant."""

    def __init__(self) -> None:
        self.next_at = 0.0
        self._barren = 0

    def came_to(self, trouble: str) -> bool:
        """Hear what was wrong with a child that ended, if anything; say whether to give up."""
        if not trouble:
            self._barren = 0
            return False
        self._barren += 1
        wait = min(_MOST_WAIT, _FIRST_WAIT * 2.0 ** (self._barren - 1))
        self.next_at = time.monotonic() + wait
        log.warning("child.failed", in_a_row=self._barren, next_in=wait, why=trouble)
        return self._barren == _BARREN


def no_child_works(trouble: str) -> TaskGridError:
    """Return the error of a worker whose children all came to nothing."""
    return TaskGridError(
        f"{_BARREN} task processes in a row ended before they did anything",
        why=trouble,
        hint="Mend what the last one said, then start the worker again; its tasks were given back.",
    )
