"""Many worker hosts in one process, as far as their master can tell: it runs nothing and waits instead.

    python host_swarm.py SERVER KEY_FILE HOSTS SECONDS_PER_TASK

Each host has three connections (leases, reports, beats), as a worker has. `go` on stdin has them note
how long the leases take from then on, `tell` writes the milliseconds as a line of JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from itertools import cycle
from pathlib import Path

from wire import Host

from taskgrid.errors import TaskGridError
from taskgrid.transport.keys import read_key
from taskgrid.transport.manager import GridManager

_BEAT = 5.0
_SECOND = 20
"""2**20 microseconds: tasks that are said to be so slow are leased singly."""


class Swarm:
    """Hosts, a thread each, and one that beats for all."""

    def __init__(self, manager: GridManager, hosts: int, seconds_per_task: float) -> None:
        self._hosts = [Host(manager, f"host-{number}") for number in range(hosts)]
        self._seconds = seconds_per_task
        self._stop = threading.Event()
        self._noting = False
        self._taken: list[float] = []

    def start(self) -> None:
        """Let all hosts come, and work."""
        for host in self._hosts:
            threading.Thread(target=self._work, args=(host,), daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def go(self) -> None:
        """Note the leases from now on."""
        self._noting = True

    def tell(self) -> list[float]:
        """Return the milliseconds that leases took."""
        return self._taken

    def _work(self, host: Host) -> None:
        while not self._stop.is_set():
            noting, begun = self._noting, time.perf_counter()
            bundles = host.lease()
            if bundles and noting:
                self._taken.append(1e3 * (time.perf_counter() - begun))
            if bundles:
                self._stop.wait(self._seconds)
                host.succeed(bundles, bucket=_SECOND)

    def _beat(self) -> None:
        for host in cycle(self._hosts):
            try:
                host.beat()
            except TaskGridError as error:
                sys.stderr.write(f"{error}\n")
            self._stop.wait(_BEAT / len(self._hosts))


def main(server: str, key_file: str, hosts: int, seconds_per_task: float) -> None:
    """Do as stdin says, until it ends."""
    threading.stack_size(256 << 10)
    swarm = Swarm(GridManager([server], read_key(Path(key_file)), reconnect_for=None), hosts, seconds_per_task)
    swarm.start()
    for line in sys.stdin:
        if line.strip() == "go":
            swarm.go()
        else:
            sys.stdout.write(json.dumps(swarm.tell()) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
