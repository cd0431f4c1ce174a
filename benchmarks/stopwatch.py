"""What every contestant measures alike: the rate of a map, and the time of one call after another.

It is run by peers' interpreters too, hence imports the standard library only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

NOT_INSTALLED_STATUS = 77


def rate(tasks: int, run: Callable[[], Any]) -> float:
    """Return the tasks per second of a run that returns the sum of `range(tasks)`."""
    begun = time.perf_counter()
    total = run()
    seconds = time.perf_counter() - begun
    if total != tasks * (tasks - 1) // 2:
        raise AssertionError(f"the results of {tasks} tasks sum up to {total}")
    return tasks / seconds


def trips(calls: int, call: Callable[[int], Any]) -> dict[str, float]:
    """Return the median and the 99th percentile of calls made one after another, in milliseconds."""
    taken = []
    for index in range(calls):
        begun = time.perf_counter()
        call(index)
        taken.append(1e3 * (time.perf_counter() - begun))
    taken.sort()
    return {"p50": taken[calls // 2], "p99": taken[int(calls * 0.99)]}


def tell(**figures: float) -> None:
    """Hand figures to the program that started this one."""
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def not_installed() -> None:
    """End with the status that says so."""
    sys.exit(NOT_INSTALLED_STATUS)
