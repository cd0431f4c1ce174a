"""Drain rate at a standing depth: does a long queue cost more per task than a short one?

Two real workers run no-op tasks; a client with ready-made payloads keeps so many tasks unfinished.
Depths are measured in turn, each on a grid of its own.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from statistics import median

from figures import Figure, at_most
from programs import private_grid
from wire import CHUNK, Submitter

_SECONDS = 5.0
_WARM = 1.0
_WORKERS = 2
_SHALLOW = 1_000


def measure(*, full: bool, rounds: int) -> Iterator[Figure]:
    """Yield a rate per depth, and the worst ratio of two."""
    depths = [_SHALLOW, 1_000_000, *([10_000_000] if full else [])]
    rates: dict[int, list[float]] = defaultdict(list)
    for _ in range(rounds if full else 1):
        for depth in depths:
            rates[depth].append(_drain(depth))
    for depth in depths:
        # At a depth of few tasks it is the round trips of those who refill it that are measured.
        work = f"{1000 * depth / median(rates[depth]):,.1f} ms of work"
        yield Figure(
            "depth", f"drain rate at a standing depth of {depth:,}", "tasks/s", tuple(rates[depth]), remark=work
        )
    medians = [median(runs) for runs in rates.values()]
    spread = 100 * (max(medians) / min(medians) - 1)
    yield Figure("depth", "largest difference between two depths", "%", (spread,), at_most(15), "process")


def _drain(depth: int) -> float:
    """Return the outcomes per second that a client sees while it keeps `depth` tasks unfinished."""
    with private_grid() as programs:
        programs.start_master()
        with programs.manager() as manager:
            client = Submitter(manager)
            client.submit(depth)
            for _ in range(_WORKERS):
                programs.start_worker(slots=1)
            with _Feeder(client, depth):
                return _watch(client)


def _watch(client: Submitter) -> float:
    while client.fetched < _SHALLOW:
        client.fetch()
    _fetch_for(client, _WARM)
    begun, before = time.perf_counter(), client.fetched
    _fetch_for(client, _SECONDS)
    return (client.fetched - before) / (time.perf_counter() - begun)


def _fetch_for(client: Submitter, seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        client.fetch()


class _Feeder:
    """A thread that submits whenever there is room for half a chunk, or half the depth."""

    def __init__(self, client: Submitter, depth: int) -> None:
        self._client = client
        self._depth = depth
        self._enough = min(CHUNK, depth) // 2
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="feeder")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _feed(self) -> None:
        while not self._stop.is_set():
            room = self._depth - (self._client.sent - self._client.fetched)
            if room >= self._enough:
                self._client.submit(room)
            else:
                self._stop.wait(0.0005)
