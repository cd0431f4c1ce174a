"""The simulated worker: the real ledger, and the agent's routines around it, told in simulated time.

Beat, leaser and reporter do what those of `taskgrid.worker` do, a wish at a time; slots run tasks
that are only a nature and a duration. Its clock runs a little faster or slower than the master's.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from taskgrid.errors import TaskGridError
from taskgrid.model import Cause, Failure, TaskOptions, WorkerId, failure_line
from taskgrid.scheduler.runs import as_runs
from taskgrid.transport.protocol import (
    EnlistRequest,
    ExtendRequest,
    FailedAttempt,
    LeaseRequest,
    LeaveRequest,
    Offer,
    ReleaseRequest,
    ReportRequest,
)
from taskgrid.worker import ledger as ledgers
from taskgrid.worker.beat import _as_held
from taskgrid.worker.held import Ended, Lease, Work
from taskgrid.worker.merging import Blocks
from taskgrid.worker.positions import indices

from .loop import Bell, Listen, Loop, Node, Pause, Routine
from .network import Call, Channel, Network

FUNCTION = "simulated:task"
LONG_POLL = 2.0
"""Seconds the master may hold a request."""
CATCH_UP = 0.025
"""Seconds in which an agent that stood still looks at its running tasks again."""


@dataclass
class Item:
    """One task in the worker's hands."""

    lease: Lease
    index: int
    payload: bytes

    @property
    def work(self) -> Work:
        """Return it as the ledger knows it."""
        return Work(self.lease, ((self.index, self.index + 1),), self.payload)


@dataclass
class Batch:
    """Outcomes of one lease that a slot has not handed over yet."""

    lease: Lease
    outcomes: dict[int, tuple[bytes, FailedAttempt | None]] = field(default_factory=dict)
    seconds: float = 0.0


def _merged(lines: Sequence[bytes]) -> bytes:
    """Merge values: into the indices of their tasks."""
    return json.dumps([json.loads(line)[-1] for line in lines]).encode()


def value_of(payload: bytes) -> bytes:
    """Return what a task with this payload gives."""
    return json.dumps(["did", *json.loads(payload)]).encode()


class Worker(Node):
    """One host with slots."""

    def __init__(
        self, loop: Loop, network: Network, name: str, slots: int, *, deadly: Any, alone: bool = False
    ) -> None:
        """`deadly(worker)` is called when a task takes its host with it; `alone` is what the function is declared."""
        super().__init__(loop, name)
        self.network = network
        self.slots = slots
        self._deadly = deadly
        self._declared = TaskOptions(alone=alone)
        self._rate = loop.random.uniform(0.97, 1.03)

    def clock(self) -> float:
        """Return this host's monotonic clock."""
        return self.loop.now * self._rate

    def start(self) -> None:
        """Come up as another worker than before."""
        if self.up:
            return
        self.begin_life()
        self.id = WorkerId(f"{self.loop.random.getrandbits(64):016x}")
        self.loop.note("worker", self.name, self.id)
        self.wake, self.owing, self.arrived, self.room = Bell(), Bell(), Bell(), Bell()
        self.ledger = ledgers.Ledger(1 << 20, self.wake)
        self.tasks, self.results = Channel(self, self.network), Channel(self, self.network)
        self.beats, self.control = Channel(self, self.network), Channel(self, self.network)
        self.waiting: deque[Item] = deque()
        self.running: dict[int, tuple[Item, Bell]] = {}
        self._must_enlist, self._enlisted, self.draining = True, False, False
        self._due, self._interval, self._generations = 0.0, 1.0, [0, 0]
        for routine in (self._beat, self._leaser, self._reporter):
            self.spawn(routine())
        for number in range(self.slots):
            self.spawn(self._slot(number))

    def crash(self) -> None:
        """Be killed with everything it runs."""
        if self.up:
            super().crash()
            for channel in (self.tasks, self.results, self.beats, self.control):
                channel.close()

    def drain(self) -> None:
        """Finish what runs, give the rest back, leave."""
        self.draining = self._must_enlist = True
        self._due = 0.0
        self.wake.set()

    # ------------------------------------------------------------ beat

    def _beat(self) -> Routine:
        while True:
            try:
                yield from self._turn()
            except TaskGridError:
                self._must_enlist = True
                yield Pause(1.0)
            if self.draining and not (self.running or self.waiting or self.ledger.held()):
                yield Call(self.control, "leave", LeaveRequest(worker=self.id))
                self.crash()
                return
            yield Listen(self.wake, min(1.0, self._due - self.clock()) + 1e-6)

    def _turn(self) -> Routine:
        if self._must_enlist:
            self._must_enlist = False
            reply, _ = yield Call(self.control, "enlist", self._enlistment())
            self._interval = reply.beat
            yield from self._extend()
            self.control.close()
            self._enlisted = not self._must_enlist
            self.room.set()
        works = self.ledger.next_release()
        if works:
            yield Call(self.beats, "release", ReleaseRequest(worker=self.id, leases=tuple(map(_as_held, works))))
            self.ledger.released(works)
        if self.clock() >= self._due:
            yield from self._extend()

    def _enlistment(self) -> EnlistRequest:
        return EnlistRequest(
            worker=self.id,
            name=self.name,
            host=self.name,
            pid=1,
            slots=self.slots,
            version="0",
            python="3",
            offers=(Offer(function=FUNCTION, options=self._declared),),
            draining=self.draining,
        )

    def _extend(self) -> Routine:
        held, sent_at = self.ledger.held(), self.clock()
        reply, _ = yield Call(self.beats, "extend", ExtendRequest(worker=self.id, leases=held))
        if not reply.known:
            self._is_unknown()
            return
        again = self.beats.generation != self._generations[0]
        self._generations[0] = self.beats.generation
        self._due = 0.0 if again else self.clock() + self._interval
        self.ledger.extend(held, sent_at + reply.ttl * (1 - ledgers.MARGIN))
        if reply.drop:
            self.ledger.drop(reply.drop)
            self._drop()
        self.arrived.set()

    def _is_unknown(self) -> None:
        self._enlisted, self._must_enlist, self._due = False, True, 0.0
        self.wake.set()

    def _drop(self) -> None:
        self.waiting = deque(item for item in self.waiting if self.ledger.covers(item.lease, item.index))
        for item, killed in self.running.values():
            if not self.ledger.covers(item.lease, item.index):
                killed.set()

    # ------------------------------------------------------------ leaser, reporter

    def _leaser(self) -> Routine:
        chance = self.loop.random
        while True:
            room = self.slots + 1 - len(self.waiting)
            if not self._enlisted or self.draining or room <= 0 or self.ledger.is_full:
                yield Listen(self.room, 0.5)
                continue
            nonce = f"{chance.getrandbits(64):016x}"
            asked_at = self.clock()
            request = LeaseRequest(worker=self.id, nonce=nonce, bundles=min(room, 2), wait=LONG_POLL)
            try:
                reply, parts = yield Call(self.tasks, "lease", request)
            except TaskGridError:
                yield Pause(1.0)
                continue
            if reply.bundles:
                self._accept(self.ledger.enter(reply.bundles, parts, asked_at, reply.ttl))
            if not reply.known:
                self._is_unknown()
            elif self.tasks.generation != self._generations[1]:
                self._due = 0.0
                self.wake.set()
            self._generations[1] = self.tasks.generation
            if not (reply.bundles or reply.known):
                yield Pause(0.1)

    def _accept(self, works: list[Work]) -> None:
        for work in works:
            lines = work.payload.split(b"\n")
            self.waiting += [Item(work.lease, i, line) for i, line in zip(indices(work.runs), lines, strict=True)]
        self.arrived.set()

    def _reporter(self) -> Routine:
        while True:
            batch = self.ledger.next_batch()
            if not batch:
                yield Listen(self.owing, 1.0)
                continue
            request = ReportRequest(worker=self.id, reports=self.ledger.as_reports(batch))
            try:
                reply, _ = yield Call(self.results, "report", request, tuple(ended.lines for ended in batch))
            except TaskGridError:
                self.ledger.unsettle(batch)
                yield Pause(1.0)
            else:
                if self.ledger.settle(batch, reply.reports):
                    yield Pause(1.0)

    # ------------------------------------------------------------ slots

    def _slot(self, number: int) -> Routine:
        batch: Batch | None = None
        while True:
            item = self._next()
            if batch and (item is None or item.lease is not batch.lease or self.loop.random.random() < 0.4):
                self._hand_over(batch)
                batch = None
            if item is None:
                yield Listen(self.arrived, 1.0)
                continue
            ended = yield from self._run(number, item)
            if ended is not None:
                batch = batch or Batch(item.lease)
                batch.outcomes[item.index] = ended[:2]
                batch.seconds += ended[2]

    def _next(self) -> Item | None:
        """Take what may begin: it is still ours, and its lease can still be trusted."""
        self._drop()
        if self.draining or (self.loop.random.random() < 0.03 and len(self.waiting) > 1):
            self.ledger.give_back(item.work for item in self.waiting)
            self.waiting.clear()
            self.room.set()
        for item in self.waiting:
            if item.lease.trusted_until > self.clock():
                self.waiting.remove(item)
                self.room.set()
                return item
        return None

    def _run(self, number: int, item: Item) -> Routine:
        """Run one task; give its line, its failure and its duration, or None if it was killed."""
        nature, seconds, *_ = json.loads(item.payload)
        began, killed = self.clock(), Bell()
        self.running[number] = (item, killed)
        self.loop.note("began", self.name, item.lease.job, item.index, item.lease.token, item.lease.options.alone)
        while (left := began + seconds - self.clock()) > 0:
            trusted = item.lease.trusted_until - self.clock() if item.lease.options.alone else math.inf
            if trusted <= 0:
                break
            yield Listen(killed, min(left, trusted) + 1e-6)
            if not self.ledger.covers(item.lease, item.index):
                break
        del self.running[number]
        self.loop.note("ended", self.name, item.lease.job, item.index, item.lease.token, item.lease.options.alone)
        if not self.ledger.covers(item.lease, item.index):
            return None
        if began + seconds > self.clock():
            self.waiting.appendleft(item)
            return None
        if nature in {"deadly", "disaster"}:
            self._deadly(self, nature)
            yield Pause(1.0)
        return *_outcome(item, nature), seconds

    def _hand_over(self, batch: Batch) -> None:
        ordered = sorted(batch.outcomes.items())
        failures = tuple(failure for _, (_, failure) in ordered if failure is not None)
        successes = len(ordered) - len(failures)
        bucket = max(0, int(math.log2(max(1.0, batch.seconds / len(ordered) * 1e6))))
        tasks, lines = [index for index, _ in ordered], [line for _, (line, _) in ordered]
        whole = Blocks(0, tasks, _merged).merge(0, lines) if batch.lease.reduce else ()
        self.ledger.add(
            Ended(
                batch.lease,
                tuple(as_runs(tasks)),
                b"\n".join(lines),
                failures,
                batch.seconds,
                ((bucket, successes),) if successes else (),
                whole=tuple((tasks[low], tasks[high - 1] + 1) for low, high in whole),
            )
        )
        self.owing.set()


_FAULTS = {
    "raises": (Cause.ERROR, "builtins.ValueError"),
    "flaky": (Cause.ERROR, "builtins.ValueError"),
    "crashes": (Cause.CRASH, ""),
    "missing": (Cause.ERROR, "builtins.FileNotFoundError"),
}


def _outcome(item: Item, nature: str) -> tuple[bytes, FailedAttempt | None]:
    attempt = item.lease.attempts.get(item.index, 1)
    if nature not in _FAULTS or (nature == "flaky" and attempt > 1):
        return value_of(item.payload), None
    cause, kind = _FAULTS[nature]
    failure = Failure(cause=cause, type=kind, message=item.payload.decode(), attempt=attempt)
    return failure_line(failure), FailedAttempt(index=item.index, cause=cause, type=kind, summary="as told")
