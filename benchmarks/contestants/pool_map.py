"""`multiprocessing.Pool` with two processes: one machine, nothing kept, nothing survives.

python pool_map.py CHUNKSIZE TASKS CALLS          (CHUNKSIZE 0: its own choice)
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import stopwatch  # the folder above is put on the path first


def same(number: int) -> int:
    """Do nothing."""
    return number


def main(chunksize: int, tasks: int, calls: int) -> None:
    """Measure and tell."""
    with multiprocessing.Pool(2) as pool:
        pool.map(same, range(100))
        stopwatch.tell(
            rate=stopwatch.rate(tasks, lambda: sum(pool.map(same, range(tasks), chunksize or None))),
            **stopwatch.trips(calls, lambda index: pool.apply(same, (index,))),
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
