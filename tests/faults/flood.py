"""A client that submits as fast as it can, and takes no refusal to heart.

python flood.py SERVER KEY_FILE SECONDS
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from taskgrid import Grid
from taskgrid.errors import TaskGridError

CHUNK = 20_000


def main(server: str, key_file: str, seconds: str) -> None:
    """Submit for so many seconds; print how many tasks were accepted, how many refused, and when it was over."""
    accepted = refused = 0
    until = time.monotonic() + float(seconds)
    with Grid(server, key_file=Path(key_file)) as grid:
        while time.monotonic() < until:
            try:
                grid.submit_job("proof_tasks:sleeps", [0.001] * CHUNK)
                accepted += CHUNK
            except TaskGridError:
                refused += CHUNK
        print(accepted, refused, time.monotonic())


if __name__ == "__main__":
    main(*sys.argv[1:])
