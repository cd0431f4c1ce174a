"""A world made from a seed: who takes part, what goes wrong and when, and how it is let come to rest.

For some time faults strike, of the kinds that the seed has picked. Then everything is mended, and
the grid must finish what it has accepted. The history is judged afterwards, by `checker`.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from taskgrid.client import reduced, tree
from taskgrid.journal.protocol import Durability
from taskgrid.master import engine, upkeep
from taskgrid.model import MERGE_BLOCK, Backoff, Reduce, TaskOptions
from taskgrid.scheduler import lease
from taskgrid.worker import merging

from .client import Client, Operator, Plan, payload
from .disk import Backup, Disk
from .loop import Loop, Node, Runaway
from .master import Master
from .worker import Worker

PATIENCE = 400.0
"""Simulated seconds for the grid to finish once all is mended."""
_PATIENCE_WITH_KILLERS = 100.0
"""More of them for each task that takes its host with it: one after another, and five times until its lease ends."""
_MERGED_TOGETHER = 2
_MERGING: tuple[Any, ...] = (lease, merging, reduced, tree)
_NATURES = (
    (),
    (),
    ("raises",),
    ("flaky", "raises"),
    ("crashes",),
    ("deadly",),
    ("disaster",),
    ("missing", "crashes"),
)
"""What may be wrong with some of a job's tasks."""


def _or(said: Any, drawn: Any) -> Any:
    return drawn if said is None else said


@dataclass(frozen=True)
class Leaning:
    """What a world is to be like, where that is not left to its seed."""

    faults: tuple[str, ...] = ()
    natures: tuple[str, ...] = ()
    share: float | None = None
    """Of the tasks, how many have one of these."""
    alone: bool | None = None
    unsynced: bool | None = None
    longest: float | None = None
    grace: float | None = None
    operators: bool | None = None
    declared: bool = False
    """Whether all is alone because the function is declared so, and no job says it."""
    merged: bool = False
    """Whether jobs merge their values, and their tasks are many and short."""
    steady: bool = False
    """Whether tasks all last about as long as the longest."""


class World:
    """Everything that one seed makes."""

    def __init__(self, seed: int, leaning: Leaning | None = None) -> None:
        self.seed = seed
        self._leaning = leaning = leaning or Leaning()
        self.loop = Loop(seed)
        chance = self.loop.random
        self.disk = Disk(self.loop)
        unsynced = _or(leaning.unsynced, chance.random() < 0.25)
        self.durability = Durability.PROCESS if unsynced else Durability.POWER
        self.master = Master(self.loop, self.disk, self.durability)
        network = self.master.network
        slots = [chance.randint(1, 3) for _ in range(chance.randint(2, 4))]
        self.workers = [
            Worker(self.loop, network, f"w{number}", count, deadly=self.take_host, alone=leaning.declared)
            for number, count in enumerate(slots)
        ]
        self.clients = [Client(self.loop, network, self._plan(number)) for number in range(chance.randint(1, 3))]
        self.operators = []
        if _or(leaning.operators, chance.random() < 0.4):
            verbs = chance.choice((["cancel"], ["retry", "cancel"], ["cancel", "retry", "retry"]))
            self.operators = [Operator(self.loop, network, self.clients, verbs)]
        self.backups: list[Backup] = []
        self.mended = False
        self.striking_until = chance.uniform(8.0, 25.0)
        self.checkpoint_every = chance.choice((3, 20, 10_000))

    # ------------------------------------------------------------ what there is to do

    def _plan(self, number: int) -> Plan:
        chance = self.loop.random
        leaning = self._leaning
        alone = _or(leaning.alone, chance.random() < 0.35)
        bad = leaning.natures or chance.choice(_NATURES)
        count = chance.randint(40, 80) if leaning.merged else chance.randint(1, 24)
        longest = _or(leaning.longest, chance.choice((0.02, 0.5, 3.0, 8.0)))
        share = _or(leaning.share, 1.5 / count)
        items = []
        for index in range(count):
            nature = chance.choice(bad) if bad and chance.random() < share else "good"
            seconds = round(chance.choice((0.001, 0.005, chance.uniform(0.001, longest))), 4)
            if leaning.steady:
                seconds = longest
            items.append(payload(nature, seconds, f"c{number}", index))
        options = TaskOptions(
            alone=alone,
            max_attempts=chance.choice((1, 3)),
            backoff=Backoff(first=timedelta(seconds=0.5), most=timedelta(seconds=4)),
            priority=chance.choice((0, 0, 1)),
        )
        key = f"key{number}" if chance.random() < 0.4 else None
        grace = timedelta(seconds=_or(leaning.grace, chance.choice((3.0, 60.0))))
        reduce = Reduce(how="merge") if leaning.merged else None
        return Plan(f"c{number}", tuple(items), tuple(self._cuts(count)), options, key, grace, reduce)

    def _cuts(self, count: int) -> Iterator[int]:
        most = self.loop.random.choice((2, 6, 30))
        while count:
            cut = self.loop.random.randint(1, min(count, most))
            yield cut
            count -= cut

    def take_host(self, worker: Worker, nature: str) -> None:
        """Let a task take its host with it, and the master as well if it is a disaster."""
        if nature == "disaster":
            self._kill(self.master)
        self._kill(worker)
        self.loop.note("took-host", worker.name)

    # ------------------------------------------------------------ what goes wrong

    def _after(self, low: float, high: float, call: Callable[[], None]) -> None:
        self.loop.at(self.loop.random.uniform(low, high), call)

    def _kill(self, node: Any) -> None:
        if node.up:
            node.crash()
            if node is self.master:
                node.wall_offset += self.loop.random.choice((0.0, 0.0, -50.0, 50.0))
            self._after(0.05, self.loop.random.choice((0.3, 2.0, 8.0)), node.start)

    def _pause(self, node: Node) -> None:
        if node.up and not node.paused:
            node.pause()
            self._after(0.3, self.loop.random.choice((1.5, 5.0, 15.0)), node.resume)

    def kill_worker(self) -> None:
        """Kill a worker's host; another comes up in its place."""
        self._kill(self.loop.random.choice(self.workers))

    def kill_master(self) -> None:
        """Kill the master."""
        self._kill(self.master)

    def kill_both(self) -> None:
        """Kill the master and some workers at once."""
        self._kill(self.master)
        for worker in self.workers:
            if self.loop.random.random() < 0.7:
                self._kill(worker)

    def kill_client(self) -> None:
        """Kill a client; it comes back and begins anew."""
        self._kill(self.loop.random.choice(self.clients))

    def pause_worker(self) -> None:
        """Suspend a worker's host."""
        self._pause(self.loop.random.choice(self.workers))

    def pause_master(self) -> None:
        """Suspend the master."""
        self._pause(self.master)

    def restart_master(self) -> None:
        """Stop the master as a person would, and start it again."""
        if self.master.up and not self.master.paused:
            self.master.stop()
            self._after(0.1, 3.0, self.master.start)

    def drain_worker(self) -> None:
        """Drain a worker and start another there."""
        worker = self.loop.random.choice(self.workers)
        if worker.up and not worker.paused:
            worker.drain()
            self._after(3.0, 12.0, worker.start)

    def partition(self) -> None:
        """Cut a node off."""
        cut = self.master.network.cut
        node: Node = self.loop.random.choice([*self.workers, *self.clients])
        cut.add(node.name)
        self._after(0.5, self.loop.random.choice((2.0, 10.0)), lambda: cut.discard(node.name))

    def strand_worker(self) -> None:
        """Cut a worker off for longer than its leases last."""
        cut, name = self.master.network.cut, self.loop.random.choice(self.workers).name
        cut.add(name)
        self._after(5.0, 12.0, lambda: cut.discard(name))

    def strand_clients(self) -> None:
        """Cut all clients off."""
        names = {client.name for client in self.clients}
        self.master.network.cut |= names
        self._after(2.0, 8.0, lambda: self.master.network.cut.difference_update(names))

    def break_connections(self) -> None:
        """Break connections."""
        self.master.network.cut_connections()

    def bad_weather(self) -> None:
        """Lose, delay and repeat messages for a while."""
        weather, chance = self.master.network.weather, self.loop.random
        weather.lost, weather.twice, weather.slow = (chance.choice((0.0, 0.05, 0.2)) for _ in range(3))
        self._after(1.0, 8.0, self._fair_weather)

    def _fair_weather(self) -> None:
        weather = self.master.network.weather
        weather.lost = weather.twice = weather.slow = 0.0

    def slow_disk(self) -> None:
        """Let commits take seconds for a while."""
        self.disk.slow = True
        self._after(1.0, 8.0, lambda: setattr(self.disk, "slow", False))

    def full_disk(self) -> None:
        """Let the disk be full for a while."""
        self.disk.full = True
        self._after(1.0, 6.0, lambda: setattr(self.disk, "full", False))

    def lose_power(self) -> None:
        """Kill the master's machine: unsynced writes may be gone."""
        if self.master.up:
            self.master.lose_power()
            self._after(0.3, 3.0, self.master.start)

    def take_backup(self) -> None:
        """Copy the disk."""
        self.backups.append(self.disk.backup())

    def restore_backup(self) -> None:
        """Put an older copy of the disk in place of the disk."""
        if self.backups and self.master.up:
            self.master.crash()
            self.disk.restore(self.loop.random.choice(self.backups))
            self._after(0.1, 2.0, self.master.start)

    def _faults(self) -> list[Callable[[], None]]:
        chance = self.loop.random
        if self._leaning.faults:
            return [getattr(self, name) for name in self._leaning.faults]
        usual = [
            self.kill_worker,
            self.kill_master,
            self.kill_both,
            self.kill_client,
            self.pause_worker,
            self.pause_master,
            self.restart_master,
            self.drain_worker,
            self.partition,
            self.strand_worker,
            self.strand_clients,
            self.break_connections,
            self.bad_weather,
            self.slow_disk,
            self.full_disk,
        ]
        picked = [fault for fault in usual if chance.random() < 0.4]
        if self.durability is Durability.PROCESS:
            picked += [self.lose_power] * 2
        if chance.random() < 0.12:
            picked += [self.take_backup] * 2 + [self.restore_backup]
        return picked or [self.kill_worker]

    def _strike(self, faults: list[Callable[[], None]], every: float) -> None:
        if self.loop.now >= self.striking_until:
            self._mend()
            return
        fault = self.loop.random.choice(faults)
        self.loop.note("fault", fault.__name__)
        fault()
        self._after(0.05, every, lambda: self._strike(faults, every))

    def _mend(self) -> None:
        self.loop.note("mended")
        self.mended = True
        self._fair_weather()
        self.disk.slow = self.disk.full = False
        self.master.network.cut.clear()
        for operator in self.operators:
            operator.crash()
        for node in (self.master, *self.workers, *self.clients):
            node.resume()
            node.start()
        self.loop.at(20.0, self._start_what_drained)

    def _start_what_drained(self) -> None:
        for worker in self.workers:
            worker.start()
        self.loop.at(20.0, self._start_what_drained)

    # ------------------------------------------------------------ the run

    def _is_at_rest(self) -> bool:
        return (
            self.mended
            and self.master.up
            and all(client.done for client in self.clients)
            and all(job.ended for job in self.master.engine.core.jobs.values())
        )

    def _look(self) -> None:
        if self._is_at_rest():
            self.loop.at(1.0, self._end)
        else:
            self.loop.at(0.5, self._look)

    def _end(self) -> None:
        """End, unless somebody's last request has brought something back meanwhile."""
        self.loop.stopped = self._is_at_rest()
        if not self.loop.stopped:
            self._look()

    def run(self) -> None:
        """Let it all happen."""
        with _settings(self.checkpoint_every):
            latest = self.loop.random.choice((0.5, 6.0))
            for node in (self.master, *self.workers, *self.operators):
                self._after(0.0, 0.5, node.start)
            for client in self.clients:
                self._after(0.0, latest, client.start)
            every = self.loop.random.choice((1.0, 3.0, 8.0))
            faults = self._faults()
            self._after(0.3, 2.0, lambda: self._strike(faults, every))
            try:
                self._look()
                self.loop.run(self.striking_until + self._patience())
                rested = self.loop.stopped
            except Runaway:
                rested = False
            except Exception as error:  # noqa: BLE001  # whatever the master's code raises is the finding
                self.loop.note("error", "".join(traceback.format_exception(error)[-6:]))
                rested = True
            self.loop.note("rest" if rested else "unrest", self.unfinished())

    def _patience(self) -> float:
        natures = [json.loads(item)[0] for client in self.clients for item in client.plan.items]
        return PATIENCE + _PATIENCE_WITH_KILLERS * sum(nature in {"deadly", "disaster"} for nature in natures)

    def unfinished(self) -> str:
        """Say who is not done."""
        jobs = self.master.engine.core.jobs.values() if self.master.up else ()
        waiting = [f"job {job.number}: {bytes(job.states)!r}" for job in jobs if not job.ended]
        return ", ".join([*(client.name for client in self.clients if not client.done), *waiting])


@contextmanager
def _settings(checkpoint_every: int) -> Iterator[None]:
    """Checkpoint more often than in real life, merge the values of fewer tasks, and log nothing."""
    every, log = engine._CHECKPOINT_EVERY, upkeep._log
    engine._CHECKPOINT_EVERY = checkpoint_every
    for room in _MERGING:
        room.MERGE_BLOCK = _MERGED_TOGETHER
    upkeep._log = structlog.wrap_logger(None, processors=[_swallow])
    try:
        yield
    finally:
        engine._CHECKPOINT_EVERY, upkeep._log = every, log
        for room in _MERGING:
            room.MERGE_BLOCK = MERGE_BLOCK


def _swallow(*_: Any) -> Any:
    raise structlog.DropEvent
