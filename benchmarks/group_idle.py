"""What a grid costs that has nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterator

import bench_tasks
from figures import Figure, at_most
from processes import cpu_seconds, tree_of
from programs import private_grid

_SECONDS = 10.0


def measure() -> Iterator[Figure]:
    """Yield shares of a core over ten seconds, after some work."""
    with private_grid() as programs:
        master = programs.start_master()
        worker = programs.start_worker(slots=2)
        with programs.grid() as grid:
            list(grid.map(bench_tasks.same, range(20_000)))
        time.sleep(1.0)
        trees = {"master": tree_of(master.pid), "worker": tree_of(worker.pid)}
        before = {name: cpu_seconds(pids) for name, pids in trees.items()}
        begun = time.perf_counter()
        time.sleep(_SECONDS)
        seconds = time.perf_counter() - begun
        for name, pids in trees.items():
            share = 100 * (cpu_seconds(pids) - before[name]) / seconds
            yield Figure("idle", f"idle {name}, of a core", "%", (share,), at_most(1), f"over {_SECONDS:g} s")
