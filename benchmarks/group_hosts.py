"""Many worker hosts: the master's memory, the wait for a lease, and the way back after its restart.

Hosts are simulated by a few processes that speak the real protocol over TLS, three connections each.
Together they take two hundred tasks a second, one at a time, from a queue that is never empty.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator

from figures import Figure, at_most, percentile
from processes import resident
from programs import HERE, Programs, private_grid
from wire import Submitter

from taskgrid import Grid

_PROCESSES = 4
_TASKS_A_SECOND = 200
_SECONDS = 8.0
_COME_WITHIN = 180.0


def measure(*, full: bool) -> Iterator[Figure]:
    """Yield what so many hosts cost, and how they come back."""
    hosts = 1000 if full else 100
    with private_grid() as programs, contextlib.ExitStack() as stack:
        master = programs.start_master("--tls")
        swarms = [stack.enter_context(_swarm(programs, hosts // _PROCESSES, hosts)) for _ in range(_PROCESSES)]
        with programs.grid() as grid, programs.manager() as manager:
            _await_hosts(grid, hosts)
            Submitter(manager).submit(100_000)
            taken = _leases(swarms)
            used = resident(master.pid) / 1e6
        programs.kill(master)
        begun = time.perf_counter()
        programs.start_master("--tls")
        with programs.grid() as grid:
            _await_hosts(grid, hosts)
        back = time.perf_counter() - begun
    name = f"{hosts:,} worker hosts, {3 * hosts:,} TLS connections"
    rate = f"{len(taken) / _SECONDS:.0f} leases/s"
    yield Figure("hosts", f"{name}: master", "MB", (used,), at_most(200))
    yield Figure("hosts", f"{name}: lease, p50", "ms", (percentile(taken, 0.5),), None, rate)
    yield Figure("hosts", f"{name}: lease, p99", "ms", (percentile(taken, 0.99),), at_most(100), rate)
    yield Figure("hosts", f"{name}: all back after a restart", "s", (back,), at_most(15))


@contextlib.contextmanager
def _swarm(programs: Programs, hosts: int, of: int) -> Iterator[subprocess.Popen[str]]:
    words = [programs.server, str(programs.key_file), str(hosts), str(of / _TASKS_A_SECOND)]
    swarm = subprocess.Popen(
        [sys.executable, str(HERE / "host_swarm.py"), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield swarm
    finally:
        swarm.kill()
        swarm.communicate()


def _await_hosts(grid: Grid, count: int) -> None:
    deadline = time.monotonic() + _COME_WITHIN
    while (come := sum(worker.connected for worker in grid.control.workers())) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{come} of {count} hosts came within {_COME_WITHIN:g} s")
        time.sleep(0.1)


def _leases(swarms: list[subprocess.Popen[str]]) -> list[float]:
    """Return the milliseconds that each lease took over some seconds."""
    time.sleep(1.0)
    _say(swarms, "go")
    time.sleep(_SECONDS)
    _say(swarms, "tell")
    return [taken for swarm in swarms if swarm.stdout for taken in json.loads(swarm.stdout.readline())]


def _say(swarms: list[subprocess.Popen[str]], word: str) -> None:
    for swarm in swarms:
        if swarm.stdin:
            swarm.stdin.write(word + "\n")
            swarm.stdin.flush()
