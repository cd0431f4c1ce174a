"""TaskGrid on this machine: a master, two workers of one slot, and this process as their client.

python taskgrid_local.py DURABILITY TASKS SUBMITS CALLS
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

_HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_HERE))

import bench_tasks  # noqa: E402  # the folder above is put on the path first
import stopwatch  # noqa: E402  # likewise

from taskgrid import Grid  # noqa: E402  # likewise


def await_workers(grid: Grid, count: int) -> None:
    """Wait until so many workers have enlisted and each has a warm task process."""
    while sum(worker.connected for worker in grid.control.workers()) < count:
        time.sleep(0.01)
    list(grid.map(bench_tasks.take, [0.05] * 4 * count))


def main(durability: str, tasks: int, submits: int, calls: int) -> None:
    """Measure and tell."""
    with Grid.local(workers=2, durability=durability, functions=["bench_tasks"], path=[_HERE]) as grid:
        await_workers(grid, 2)
        stopwatch.tell(
            **stopwatch.trips(calls, lambda index: grid.submit(bench_tasks.same, index).result()),
            rate=stopwatch.rate(tasks, lambda: sum(grid.map(bench_tasks.same, range(tasks)))),
            submits=stopwatch.rate(submits, lambda: _submit_all(grid, submits)),
        )


def _submit_all(grid: Grid, count: int) -> int:
    futures = [grid.submit(bench_tasks.same, index) for index in range(count)]
    return sum(future.result() for future in futures)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
