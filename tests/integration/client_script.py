"""A script as users start them: its own function runs on a private grid."""

from __future__ import annotations

import sys

from taskgrid import Grid


def square(x: int) -> int:
    """Return the square."""
    return x * x


if __name__ == "__main__":
    with Grid.local(workers=1) as grid:
        print(*grid.map(square, range(4)), grid.submit(square, 5).result(), flush=True)
        if "stay" in sys.argv:
            print(*grid._cluster.pids, flush=True)
            sys.stdin.read()
    if "leave" in sys.argv:
        print(*Grid.local(workers=1)._cluster.pids, flush=True)
