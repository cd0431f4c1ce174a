"""A client to be killed: submits under a key, reads every result, and writes down what it was told.

    python proof_client.py SERVER KEY_FILE JOB_KEY TASKS HISTORY

Started again it goes on where its forerunner ended: the same key is the same job. Its items come
slowly, so that there is something to be killed in.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from history import History
from proof_tasks import traced_square

from taskgrid import Grid
from taskgrid.errors import MasterUnreachable

_BATCH = 200


def items(tasks: int) -> Iterator[int]:
    """Yield the items, about 5,000 a second."""
    for item in range(tasks):
        if item % 100 == 99:
            time.sleep(0.02)
        yield item


def connected(server: str, key_file: Path) -> Grid:
    """Return a client, once there is a master: it may be among the dead just now."""
    while True:
        try:
            return Grid(server, key_file=key_file)
        except MasterUnreachable:
            time.sleep(0.1)


def main(server: str, key_file: str, job_key: str, tasks: str, history: str) -> None:
    """Submit, read, note."""
    notes = History(Path(history))
    reader = f"client {os.getpid()}"
    with connected(server, Path(key_file)) as grid:
        job = grid.submit_job(traced_square, items(int(tasks)), key=job_key)
        notes.accepted(job.number, job.view().total)
        seen = []
        for index, value in enumerate(job.results()):
            seen.append((index, value))
            if len(seen) == _BATCH:
                notes.got(job.number, reader, seen)
                seen = []
        notes.got(job.number, reader, seen)


if __name__ == "__main__":
    main(*sys.argv[1:])
