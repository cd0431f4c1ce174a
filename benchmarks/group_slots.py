"""How much of the slots' time is the tasks', and how near to the ideal a skewed job ends."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import bench_tasks
from figures import Figure, at_least, at_most
from programs import private_grid

from taskgrid import Grid

_SLOTS = 2
_LONG, _SHORT = 2.0, 0.001
_SEED = 7


def measure(*, full: bool) -> Iterator[Figure]:
    """Yield shares and a ratio."""
    with private_grid() as programs:
        programs.start_master()
        programs.start_worker(slots=_SLOTS)
        with programs.grid() as grid:
            list(grid.map(bench_tasks.take, [0.1] * 4 * _SLOTS))
            count = 3000 if full else 400
            yield _share(grid, bench_tasks.wait_20_ms, count, "waiting", target=True)
            yield _share(grid, bench_tasks.compute_20_ms, count, "computing", target=False)
            yield _skew(grid, 10_000 if full else 2_000)


def _share(grid: Grid, function: Callable[[int], float], count: int, what: str, *, target: bool) -> Figure:
    begun = time.perf_counter()
    used = sum(grid.map(function, range(count)))
    share = 100 * used / (_SLOTS * (time.perf_counter() - begun))
    bound = at_least(97) if target else None
    return Figure("slots", f"20 ms tasks {what}, 2 slots: the user's share", "%", (share,), bound, f"{count:,} tasks")


def _skew(grid: Grid, count: int) -> Figure:
    """Measure a job whose few long tasks lie anywhere."""
    tasks = [_LONG] * (count // 100) + [_SHORT] * (count - count // 100)
    random.Random(_SEED).shuffle(tasks)
    begun = time.perf_counter()
    total = sum(grid.map(bench_tasks.take, tasks))
    ratio = (time.perf_counter() - begun) / (total / _SLOTS)
    name = f"{count:,} tasks of 1 ms, 1 % of 2 s anywhere: makespan / ideal"
    return Figure("slots", name, "", (ratio,), at_most(1.1), f"ideal {total / _SLOTS:.1f} s")
