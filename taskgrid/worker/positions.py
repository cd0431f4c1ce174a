"""Between a task's index in its job and its position among the lines of a bundle.

Lines lie in order of the bundle's runs. Apart from the rest of the room because a task process
imports little.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from taskgrid.model import Run


def indices(runs: Iterable[Run]) -> Iterable[int]:
    """Return the tasks of the runs, in their order."""
    return chain.from_iterable(range(start, stop) for start, stop in runs)


def part(runs: Iterable[Run], start: int, stop: int) -> tuple[Run, ...]:
    """Return the tasks at the positions `start` up to and without `stop` of the runs."""
    parts: list[Run] = []
    at = 0
    for low, high in runs:
        begin, end = max(low, low + start - at), min(high, low + stop - at)
        if begin < end:
            parts.append((begin, end))
        at += high - low
    return tuple(parts)
