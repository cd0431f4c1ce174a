"""What the master knows, in memory: jobs, workers, leases.

Only containers and the smallest honest changes; decisions are in the files named after the verbs.
A job in memory is one state byte per task, a cursor, run sets for the exceptions, and a trail for each
task that has a past.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from taskgrid.lifecycle import BYTE, STATE, TaskEvent, TaskState, advance
from taskgrid.model import CodeVersion, Epoch, JobId, JobNumber, JobSpec, Run, TaskOptions, Token, WorkerId
from taskgrid.scheduler.alarms import Alarms
from taskgrid.scheduler.durations import Durations
from taskgrid.scheduler.limits import Limits
from taskgrid.scheduler.marks import Marks
from taskgrid.scheduler.runs import RunSet
from taskgrid.scheduler.trails import Trails
from taskgrid.scheduler.waiting import ByCode, Kind, Owner, Turn, Waiting

_LIVE: Final = re.compile(
    b"[%c%c%c]+" % tuple(BYTE[s] for s in (TaskState.QUEUED, TaskState.DELAYED, TaskState.LEASED))
)
_STATES: Final = tuple(range(len(STATE)))


@dataclass(slots=True)
class Lease:
    """A worker's right to the tasks in `runs`, all of them in state leased."""

    token: Token
    job: JobNumber
    worker: WorkerId
    runs: RunSet
    granted: int
    """How many tasks it covered at first."""
    expires_at: float
    named: bool = False
    """Whether its worker has said that it has it."""


@dataclass(slots=True)
class Worker:
    """A worker as it enlisted, and what was seen of it since."""

    id: WorkerId
    name: str
    host: str
    pid: int
    slots: int
    version: str
    python: str
    offers: Mapping[str, CodeVersion]
    since: float
    seen_at: float
    draining: bool = False
    told: bool = False
    """Whether it has said what it holds, since it enlisted and since a lease of it ran out."""
    connections: int = 0
    gone_at: float | None = None
    """When its last connection ended."""
    lost_at: float | None = None
    held_when_lost: dict[int, tuple[Run, ...]] = field(default_factory=dict)
    leases: dict[Token, Lease] = field(default_factory=dict)
    streaks: dict[JobNumber, int] = field(default_factory=dict)
    """Failed attempts in a row, by job that has not ended."""
    declared: Mapping[str, TaskOptions] = field(default_factory=dict)
    """Options that its functions declare, where they declare any."""
    places: Mapping[str, str] | None = field(default_factory=dict)
    """Folders that it looked at, each with why it does not see it; empty if it does. None: it can't be asked."""
    asked: dict[str, None] = field(default_factory=dict)
    """Folders that it was asked about, the longest ago first, whether it has answered or not."""
    rechecked: int = 0
    """The newest job of which it knows whether its code must be looked at again."""
    done: int = 0
    nonce: str = ""
    granted: Sequence[Token] = ()
    """Leases given for `nonce`, in case the answer was lost."""
    under_way: dict[Token, float] = field(default_factory=dict)
    """Leases that ran out before it named them, and when: their answer may come yet, or a beat of before it."""


class Job:
    """One job's state."""

    def __init__(self, number: JobNumber, spec: JobSpec, at: float) -> None:
        self.number = number
        self.spec = spec
        self.created_at = at
        self.alone = spec.options.alone
        """Whether its tasks must not run twice at a time: it says so, or the function did at a worker that had some."""
        self.states = bytearray()
        self.counts = [0] * len(STATE)
        self.next_ordinal = self.next_record = 0
        self.next_sequence = 1
        self.sealed = self.abandoned = self.any_code = False
        self.ended_at: float | None = None
        self.mark_record = self.sealed_record = -1
        self.mark_step, self.marked_at = 16, 0.0
        self.mark, self.marks, self.cursor = 0, Marks(), 0
        self.again, self.singles, self.isolated = RunSet(), RunSet(), RunSet()
        self.elsewhere: dict[str, RunSet] = {}
        self.doubt, self.held_back = RunSet(), RunSet()
        self.cut_at = -math.inf  # when something that is alone was cancelled under a lease
        self.trails = Trails(at)
        self.leases: dict[Token, Lease] = {}
        self._held: list[tuple[int, Token]] = []
        self._held_as_of = 0
        self.durations = Durations()
        self.payload_bytes, self.largest_done = 1.0, 0
        self.owner, self.usage, self.grants = Owner(), 0.0, 0
        self.in_line, self.alarm_at = False, math.inf
        self.succeeded_on: set[WorkerId] = set()
        self.retries = self.refused = 0
        self.client_seen = at
        # Positions that others may see, and those waiting for their commit.
        self.pending: deque[tuple[int, int, int, tuple[int, ...], bool]] = deque()
        self.committed_record, self.committed_total, self.committed_sequence = -1, 0, 0
        self.committed_counts: tuple[int, ...] = tuple(self.counts)
        self.committed_ended = False
        self.counted_live = 0  # what of `live` the core's total has
        self.restored_sequence = 0  # outcome rows there were when this master started

    @property
    def id(self) -> JobId:
        """The client-made id."""
        return self.spec.id

    @property
    def kind(self) -> Kind:
        """What may run it."""
        return Kind(self.spec.function, "" if self.any_code else self.spec.code.version, self.spec.places)

    @property
    def priority(self) -> int:
        """The highest goes first."""
        return self.spec.options.priority

    @property
    def turn(self) -> Turn:
        """Among its owner's jobs, who used less goes first, then who got less, then the older."""
        return (self.usage, self.grants, self.number)

    @property
    def waits(self) -> bool:
        """Say whether something could go out now, wherever."""
        if self.committed_total > self.cursor:
            return True
        return bool(self.again.size or self.singles.size or self.isolated.size or self.elsewhere)

    @property
    def total(self) -> int:
        """Tasks decided so far."""
        return len(self.states)

    @property
    def live(self) -> int:
        """Tasks that have not ended."""
        counts = self.counts
        return counts[0] + counts[1] + counts[2]

    @property
    def ended(self) -> bool:
        """Say whether the job is complete: sealed, and every task has ended."""
        return self.sealed and not self.live

    @property
    def leasable(self) -> int:
        """Tasks that could go out now, wherever."""
        fresh = max(self.committed_total - self.cursor, 0)
        again = self.again.size + self.singles.size + self.isolated.size
        return fresh + again + sum(map(len, self.elsewhere.values()))

    def move(self, start: int, stop: int, event: TaskEvent) -> None:
        """Apply an event to a run of tasks and keep the counts."""
        counts, states = self.counts, self.states
        before = states[start:stop]
        advance(states, start, stop, event)
        if len(before) == 1:
            counts[before[0]] -= 1
            counts[states[start]] += 1
            return
        for state in _STATES:
            counts[state] += states.count(state, start, stop) - before.count(state)

    def move_mark(self, mark: int, epoch: int) -> None:
        """Let tasks below `mark` be leased for the first time, in `epoch`."""
        if mark > self.mark:
            self.marks.move(self.mark, epoch)
        self.mark = mark

    def floor(self, index: int) -> int:
        """Return the rank below which reports on a task are stale."""
        return max(self.trails.floor(index), self.marks.floor(index))

    def holder(self, index: int) -> Lease | None:
        """Return the lease that covers a task."""
        if self._held_as_of != self.grants:
            self._held_as_of = self.grants
            self._held = sorted((start, lease.token) for lease in self.leases.values() for start, _ in lease.runs)
        for at in range(bisect_right(self._held, index, key=itemgetter(0)) - 1, -1, -1):
            lease = self.leases.get(self._held[at][1])
            if lease and index in lease.runs:
                return lease
        return None

    def live_runs(self, start: int = 0, stop: int | None = None) -> Iterator[Run]:
        """Yield runs of tasks that have not ended."""
        for found in _LIVE.finditer(self.states, start, self.total if stop is None else stop):
            yield found.start(), found.end()

    def unqueue(self, start: int, stop: int) -> None:
        """Take a run out of every waiting line."""
        for line in (self.again, self.singles, self.isolated, self.doubt, self.held_back):
            if line.size:
                line.remove(start, stop)
        for host, line in list(self.elsewhere.items()):
            line.remove(start, stop)
            if not line:
                del self.elsewhere[host]

    def committed(self, record: int) -> None:
        """Let others see what rests on records up to and with `record`."""
        self.committed_record = max(self.committed_record, record)
        while self.pending and self.pending[0][0] <= record:
            _, self.committed_total, self.committed_sequence, self.committed_counts, self.committed_ended = (
                self.pending.popleft()
            )

    def note_position(self) -> None:
        """Remember where the state stands, to be seen when the newest record is committed."""
        self.pending.append((self.next_record - 1, self.total, self.next_sequence - 1, tuple(self.counts), self.ended))


class Core:
    """The whole state: jobs, workers, leases, and this start's epoch."""

    def __init__(self, epoch: Epoch, epochs: Mapping[int, str], limits: Limits, now: float) -> None:
        self.epoch = epoch
        self.epochs = dict(epochs)
        self.limits = limits
        self.jobs: dict[JobNumber, Job] = {}
        self.by_id: dict[JobId, Job] = {}
        self.by_key: dict[str, Job] = {}
        self.active: dict[JobNumber, Job] = {}
        self.workers: dict[WorkerId, Worker] = {}
        self.leases: dict[Token, Lease] = {}
        """The first to expire first."""
        self.isolated: set[Token] = set()  # leases of tasks that have their worker to themselves
        self.clearing: tuple[WorkerId, JobNumber] | None = None  # who is to hold nothing, for the next such task
        self.owners: dict[str, Owner] = {}
        self.waiting: Waiting[Job] = Waiting()
        self.by_code: ByCode[Job] = ByCode()
        self.alarms = Alarms()
        self.queued = 0
        """Tasks that have not ended, over all jobs."""
        self.slots = self.present = 0
        """Slots of the workers that are there, and how many workers that are."""
        self.next_number = JobNumber(1)
        self.counter = 0
        self.ticked_at = now
        self.doubt_until = now

    def doubt_ends_at(self, job: Job) -> float:
        """Return when tasks in doubt are leased to others.

        That is once their holders had time to come back; a late one costs a second execution, which
        the fence makes harmless. A task that must not run twice at a time waits out its lease.
        """
        if job.alone:
            return self.doubt_until
        return self.doubt_until - max(0.0, self.limits.lease - self.limits.reconnect)

    def held_back_until(self, job: Job) -> float:
        """Return when the leases are over under which tasks that are alone were cancelled and then brought back."""
        return max(self.doubt_until, job.cut_at + self.limits.lease)

    def new_token(self) -> Token:
        """Return a token greater than all before."""
        self.counter += 1
        return Token(self.epoch.number, self.counter, self.epoch.salt)

    def add(self, job: Job) -> None:
        """Take a new or replayed job in."""
        self.jobs[job.number] = job
        self.by_id[job.id] = job
        self.next_number = JobNumber(max(self.next_number, job.number + 1))
        if job.spec.key:
            self.by_key[job.spec.key] = job
        job.owner = self.owners.setdefault(job.spec.owner, Owner())
        job.owner.jobs += 1
        self.settle(job)
        self.arm(job)

    def settle(self, job: Job) -> None:
        """Keep the sets of jobs that have work to do, and the total of their tasks."""
        live = job.live
        self.queued += live - job.counted_live
        job.counted_live = live
        if live or not job.sealed:
            if job.number not in self.active:
                self.by_code.add(job)
            self.active[job.number] = job
        elif self.active.pop(job.number, None) is not None:
            self.by_code.remove(job)
            for worker in self.workers.values():
                worker.streaks.pop(job.number, None)
        self.waiting.settle(job)

    def committed(self, job: Job, record: int) -> None:
        """Let others see what rests on a job's records up to and with `record`."""
        job.committed(record)
        self.waiting.settle(job)

    def free_code(self, job: Job) -> None:
        """Let any code run a job from here on."""
        self.waiting.remove(job)
        self.by_code.remove(job)
        job.any_code = True

    def bundles(self, most: int) -> int:
        """Count the bundles there may be, up to `most`."""
        found = 0
        for job in self.waiting.jobs.values():
            found += job.leasable
            if found >= most:
                return most
        return found

    def arm(self, job: Job) -> None:
        """See to it that a tick looks at a job in time; after one that is early, that is asked again."""
        self.alarms.arm(job, job.trails.next_due())
        if job.doubt:
            self.alarms.arm(job, self.doubt_ends_at(job))
        if job.held_back:
            self.alarms.arm(job, self.held_back_until(job))
        if not job.sealed:
            self.alarms.arm(job, job.client_seen + job.spec.client_grace.total_seconds())

    def forget(self, job: Job) -> None:
        """Drop an ended job."""
        self.jobs.pop(job.number, None)
        self.by_id.pop(job.id, None)
        self.waiting.remove(job)
        job.owner.jobs -= 1
        if not job.owner.jobs:
            del self.owners[job.spec.owner]
        if job.spec.key and self.by_key.get(job.spec.key) is job:
            del self.by_key[job.spec.key]

    def known_token(self, token: Token) -> bool:
        """Say whether the token is of this journal's history."""
        return self.epochs.get(token.epoch) == token.salt

    def renew(self, lease: Lease, now: float) -> None:
        """Let a lease begin anew; all last as long, so it is the last to expire."""
        lease.expires_at = now + self.limits.lease
        if self.leases.pop(lease.token, None):
            self.leases[lease.token] = lease

    def drop_lease(self, lease: Lease) -> None:
        """Forget a lease; its tasks are the caller's business."""
        self.leases.pop(lease.token, None)
        self.isolated.discard(lease.token)
        if worker := self.workers.get(lease.worker):
            worker.leases.pop(lease.token, None)
        if job := self.jobs.get(lease.job):
            job.leases.pop(lease.token, None)

    def connected(self) -> Iterator[Worker]:
        """Yield the workers that are there."""
        return (worker for worker in self.workers.values() if worker.lost_at is None)

    def count_slots(self) -> None:
        """Count the workers that are there, and their slots, after one came or went."""
        slots = [worker.slots for worker in self.connected()]
        self.slots, self.present = sum(slots), len(slots)
