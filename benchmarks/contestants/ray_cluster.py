"""Ray with two processors on this machine: nothing survives its head node.

python ray_cluster.py TASKS CALLS
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import stopwatch  # the folder above is put on the path first

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
try:
    import ray
except ImportError:
    stopwatch.not_installed()


def main(tasks: int, calls: int) -> None:
    """Measure and tell."""
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    try:
        same = ray.remote(lambda number: number)
        ray.get([same.remote(index) for index in range(100)])
        stopwatch.tell(
            rate=stopwatch.rate(tasks, lambda: sum(ray.get([same.remote(index) for index in range(tasks)]))),
            **stopwatch.trips(calls, lambda index: ray.get(same.remote(index))),
        )
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
