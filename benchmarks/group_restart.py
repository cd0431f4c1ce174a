"""Restart after `kill -9`: how long until a worker has work again?

Finished jobs and queued ones lie in the journal; no queued task was ever leased. The clock runs from the
start of the new master's program to the first lease that a waiting worker gets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from figures import Figure, at_most
from programs import Programs, private_grid
from wire import CHUNK, Host, Submitter, work_off

from taskgrid.transport.manager import GridManager

_MILLION = 1_000_000
_SLOW = 40
"""2**40 microseconds: tasks said to be so slow are leased one at a time."""


def measure(*, full: bool, rounds: int) -> Iterator[Figure]:
    """Yield seconds to the first lease."""
    yield _restart("1,000,000 queued, 1,000,000 finished", _MILLION, rounds, rows=CHUNK)
    if full:
        yield _restart("the same, each its own row", _MILLION, rounds, rows=1)
    else:
        yield _restart("5,000 queued, 5,000 finished, each its own row", 5_000, 1, rows=1)


def _restart(name: str, count: int, rounds: int, *, rows: int) -> Figure:
    with private_grid() as programs:
        master = programs.start_master()
        with programs.manager() as manager:
            _submit(programs, count, rows)
            _finish(manager, count, rows)
            _submit(programs, count, rows)
            runs = []
            for _ in range(rounds):
                programs.kill(master)
                begun = time.perf_counter()
                master = programs.start_master(wait=False)
                host = Host(manager)
                host.enlist()
                while not host.lease():
                    pass
                runs.append(time.perf_counter() - begun)
    return Figure("restart", f"restart -> first lease, {name}", "s", tuple(runs), at_most(3), "process")


def _submit(programs: Programs, count: int, rows: int) -> None:
    """Queue so many tasks; where each is a row of its own, some clients share the work of it."""
    clients = 1 if rows > 1 else 8
    threads = [threading.Thread(target=_submit_job, args=(programs, count // clients, rows)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _submit_job(programs: Programs, count: int, rows: int) -> None:
    with programs.manager() as manager:
        Submitter(manager).submit(count, chunk=rows)


def _finish(manager: GridManager, count: int, rows: int) -> None:
    host = Host(manager)
    host.enlist()
    many, bucket = (200, _SLOW) if rows == 1 else (4, 0)
    work_off(host, count, end=lambda bundles: host.succeed(bundles, bucket=bucket), bundles=many)
