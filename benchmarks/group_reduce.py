"""One result of many tasks: merged by workers where they have whole blocks, against merged by the client alone.

Each task counts 16 names. What is compared is the same job with the same tree of merges: named as the job's
reduction, or made of the job's results by whoever reads them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench_tasks import add_tallies, tally
from figures import Figure
from processes import resident
from programs import Programs, private_grid

from taskgrid import Grid
from taskgrid.client.tree import Tree

_WORKERS = 2
Outcome = tuple[float, float, float, Any]
"""Tasks/s, megabytes that the client grew by, megabytes of the journal, the result."""


def measure(*, full: bool, rounds: int) -> Iterator[Figure]:
    """Yield what each way costs; ValueError if they don't come to the same."""
    tasks = 1_000_000 if full else 200_000
    ways: dict[str, Callable[[Grid, int], Any]] = {"by workers": _by_workers, "by the client": _by_client}
    runs = {way: [_run(merged, tasks) for _ in range(rounds)] for way, merged in ways.items()}
    first = next(iter(runs.values()))[0][3]
    if any(outcome[3] != first for outcomes in runs.values() for outcome in outcomes):
        raise ValueError("two ways of merging gave two results")
    for place, (what, unit) in enumerate((("", "tasks/s"), (": client's growth", "MB"), (": journal", "MB"))):
        for way, outcomes in runs.items():
            values = tuple(float(outcome[place]) for outcome in outcomes)
            yield Figure("reduce", f"{tasks:,} tallies merged {way}{what}", unit, values)


def _run(merged: Callable[[Grid, int], Any], tasks: int) -> Outcome:
    with private_grid() as programs:
        programs.start_master()
        for _ in range(_WORKERS):
            programs.start_worker(slots=1)
        with programs.grid() as grid:
            list(grid.submit_job(tally, range(2000)).results())
            before = resident(os.getpid())
            begun = time.perf_counter()
            result = merged(grid, tasks)
            seconds = time.perf_counter() - begun
            grown = max(0, resident(os.getpid()) - before)
        return tasks / seconds, grown / 1e6, _journal(programs) / 1e6, result


def _by_workers(grid: Grid, tasks: int) -> Any:
    return grid.submit_job(tally, range(tasks), reduce=add_tallies).result()


def _by_client(grid: Grid, tasks: int) -> Any:
    tree: Tree[dict[str, int]] = Tree(add_tallies)
    for index, value in grid.submit_job(tally, range(tasks)).as_completed():
        tree.add(index, value)
    return tree.result(tasks)


def _journal(programs: Programs) -> int:
    return sum(file.stat().st_size for file in programs.folder.glob("journal.db*") if "ballast" not in file.name)
