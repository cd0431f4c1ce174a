"""Dask's distributed scheduler with two worker processes on this machine: nothing survives its scheduler.

python dask_cluster.py TASKS CALLS
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import stopwatch  # the folder above is put on the path first

try:
    from distributed import Client, LocalCluster
except ImportError:
    stopwatch.not_installed()


def same(number: int) -> int:
    """Do nothing."""
    return number


def main(tasks: int, calls: int) -> None:
    """Measure and tell."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(same, range(100), pure=False))
        stopwatch.tell(
            rate=stopwatch.rate(tasks, lambda: sum(client.gather(client.map(same, range(tasks), pure=False)))),
            **stopwatch.trips(calls, lambda index: client.submit(same, index, pure=False).result()),
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
