"""The master's engine: the scheduler's state behind one lock, and the journal behind that.

Deciding and applying are one step under the lock, and changes are appended there too, so that the
journal has them in the order of decision. Nothing that rests on a change leaves before its commit:
callers hold a `Ticket` and wait for it outside the lock. It knows no verbs and no wire.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence

from taskgrid.clock import Clock
from taskgrid.journal.protocol import ChunkRow, Commit, Group, Journal, OutcomeRow
from taskgrid.model import JobNumber, Token, WorkerId
from taskgrid.scheduler import checkpoint, workers
from taskgrid.scheduler.state import Change, Core, Job, Limits
from taskgrid.scheduler.submit import lowered_mark
from taskgrid.transport.protocol import Peer

_CHECKPOINT_EVERY = 10_000
_RATE_SECONDS = 5.0
_GONE_KEPT = 4096


class Ticket:
    """Waits for the commit of what was appended with it."""

    __slots__ = ("_done", "_journal")

    def __init__(self, journal: Journal) -> None:
        self._done = threading.Event()
        self._journal = journal

    def fulfil(self) -> None:
        """Let those that wait go on."""
        self._done.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Return when the commit is done; False if it was not within `timeout` seconds.

        The waiting thread commits itself if nobody is at it: on a quiet grid that spares two changes
        of threads, which cost more than the commit.
        """
        if not self._done.is_set():
            self._journal.commit_now()
        return self._done.wait(timeout)


class Waiter:
    """One long poll, asleep until there may be something for it."""

    __slots__ = ("connection", "event", "seen")

    def __init__(self, connection: int) -> None:
        self.connection = connection
        self.event = threading.Event()
        self.seen = 0


class Engine:
    """State, lock, journal, and those who wait."""

    def __init__(self, journal: Journal, clock: Clock, limits: Limits) -> None:
        self.journal = journal
        self.clock = clock
        self.lock = threading.Lock()
        self.core = Core(journal.epoch, journal.epochs, limits, clock.now())
        self.started_at = clock.now()
        self.closing = False
        self._workers: dict[int, WorkerId] = {}
        self._gone: dict[int, None] = {}
        self._tickets: dict[JobNumber, Ticket] = {}
        self._checkpointed: dict[JobNumber, int] = {}
        self._for_work: deque[Waiter] = deque()
        self._work = 1
        self._for_job: dict[JobNumber, list[Waiter]] = {}
        self._ended = 0
        self._samples: deque[tuple[float, int]] = deque([(self.started_at, 0)])
        self._restore()

    def now(self) -> float:
        """Return grid time."""
        return self.clock.now()

    @property
    def journal_full(self) -> bool:
        """Say whether commits wait for space on the disk."""
        return bool(getattr(self.journal, "full", False))

    # ------------------------------------------------------------ changes

    def append(
        self,
        changes: Iterable[Change],
        *,
        chunk: ChunkRow | None = None,
        lines: Sequence[bytes] = (),
        source: tuple[Token, int] | None = None,
        wake: bool = True,
    ) -> Ticket | None:
        """Hand changes to the journal, under the lock; return their ticket, or None if there are none.

        Without `wake` the caller waits for the ticket as soon as it has left the lock.
        `chunk` and `lines` (one per outcome row that lacks its own) belong to the only change then.
        """
        groups = [_group(change, chunk, lines, source) for change in changes]
        if not groups:
            return None
        ticket = Ticket(self.journal)
        positions = [(group.job, group.first_record + len(group.records) - 1) for group in groups]
        for number, _ in positions:
            self._tickets[number] = ticket
        self._ended += sum(row.count for group in groups for row in group.outcomes)
        self.journal.append(groups, lambda _: self._committed(positions, ticket, _), wake=wake)
        return ticket

    def ticket(self, job: Job, record: int) -> Ticket | None:
        """Return what to wait for until the job's `record` is committed; None if it is. Under the lock."""
        return None if job.committed_record >= record else self._tickets.get(job.number)

    def _committed(self, positions: list[tuple[JobNumber, int]], ticket: Ticket, commit: Commit) -> None:
        with self.lock:
            for number, record in positions if commit is Commit.COMMITTED else ():
                if job := self.core.jobs.get(number):
                    before = job.committed_sequence
                    job.committed(record)
                    self._keep(job)
                    if job.committed_sequence != before or job.committed_ended:
                        self._wake_job(number)  # else there is nothing new to fetch
            self.wake_if_work()
        ticket.fulfil()

    def _keep(self, job: Job) -> None:
        """Checkpoint a job now and then, and when it ends."""
        due = job.next_record - self._checkpointed.get(job.number, 0)
        if due >= _CHECKPOINT_EVERY or (due and job.committed_ended and job.ended):
            self._checkpointed[job.number] = job.next_record
            self.journal.checkpoint(job.number, job.next_record, checkpoint.dump(job))

    def _restore(self) -> None:
        now = self.now()
        for stored in self.journal.replay():
            job = checkpoint.replay(stored.checkpoint, stored.records)
            if job is not None:
                checkpoint.restore(self.core, job, now)
                self._checkpointed[job.number] = stored.next_record

    def forget(self, job: Job) -> None:
        """Drop what is kept beside a forgotten job, and its rows; under the lock."""
        self._tickets.pop(job.number, None)
        self._checkpointed.pop(job.number, None)
        self.journal.forget(job.number)
        self._wake_job(job.number)

    # ------------------------------------------------------------ connections

    def heard(self, peer: Peer, worker: WorkerId) -> None:
        """Note that a worker speaks through this connection; under the lock."""
        if self.is_gone(peer):
            return  # its last call outlived it: counted now, it would never be counted out
        if self._workers.get(peer.connection) != worker and worker in self.core.workers:
            self._workers[peer.connection] = worker
            workers.connected(self.core, worker)

    def is_gone(self, peer: Peer) -> bool:
        """Say whether nobody will hear this connection's answer; under the lock."""
        return self.closing or peer.connection in self._gone

    def hang_up(self, connection: int) -> None:
        """End the long polls of a connection that is gone, and let its worker's grace begin; under the lock."""
        self._gone[connection] = None
        if len(self._gone) > _GONE_KEPT:
            del self._gone[next(iter(self._gone))]
        for waiter in self._waiters():
            if waiter.connection == connection:
                self.forget_waiter(waiter)  # in line it would take a wake-up with it
                waiter.event.set()
        if worker := self._workers.pop(connection, None):
            workers.disconnected(self.core, worker, self.now())

    # ------------------------------------------------------------ waiting

    def sleep_for_work(self, waiter: Waiter) -> None:
        """Line a long poll up for work; under the lock."""
        waiter.event.clear()
        self.pass_on(waiter)
        waiter.seen = self._work
        self._for_work.append(waiter)

    def pass_on(self, waiter: Waiter) -> None:
        """Wake the next in line for a poll that was woken and took nothing; under the lock."""
        woken_in_vain = 0 < waiter.seen == self._work
        if woken_in_vain and self._for_work and self._for_work[0].seen < self._work:
            following = self._for_work.popleft()
            following.seen = self._work
            following.event.set()

    def sleep_for_job(self, waiter: Waiter, job: Job) -> None:
        """Line a long poll up for a job's next commit; under the lock."""
        waiter.event.clear()
        self._for_job.setdefault(job.number, []).append(waiter)

    def wake(self) -> None:
        """Wake who waits for work: as many as there may be bundles; under the lock."""
        self._work += 1
        bundles = sum(min(job.leasable, 1 << 10) for job in self.core.active.values())
        for _ in range(min(bundles, len(self._for_work))):
            waiter = self._for_work.popleft()
            waiter.seen = self._work
            waiter.event.set()

    def wake_if_work(self) -> None:
        """Wake who waits if there is something to lease; under the lock."""
        if self._for_work and any(job.leasable for job in self.core.active.values()):
            self.wake()

    def forget_waiter(self, waiter: Waiter) -> None:
        """Take a long poll that gives up out of every line; under the lock."""
        if waiter in self._for_work:
            self._for_work.remove(waiter)
        for waiting in self._for_job.values():
            if waiter in waiting:
                waiting.remove(waiter)

    def lower_marks(self) -> None:
        """Let the next start know which tasks were never leased: only a crash leaves those in doubt."""
        with self.lock:
            self.append([change for job in self.core.active.values() if (change := lowered_mark(self.core, job))])

    def hush(self) -> None:
        """End every long poll: the master is about to leave."""
        with self.lock:
            self.closing = True
            for waiter in self._waiters():
                waiter.event.set()

    def _waiters(self) -> list[Waiter]:
        return [*self._for_work, *(waiter for waiting in self._for_job.values() for waiter in waiting)]

    def _wake_job(self, number: JobNumber) -> None:
        for waiter in self._for_job.pop(number, ()):
            waiter.event.set()

    # ------------------------------------------------------------ figures

    def rate(self) -> float:
        """Return tasks ended per second over the last seconds; under the lock."""
        now = self.now()
        self._samples.append((now, self._ended))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()
        since, ended = self._samples[0]
        return (self._ended - ended) / (now - since) if now > since else 0.0


def _group(change: Change, chunk: ChunkRow | None, lines: Sequence[bytes], source: tuple[Token, int] | None) -> Group:
    token, number = source or (None, 0)
    given = iter(lines)
    outcomes = [
        OutcomeRow(
            sequence=row.sequence,
            first=row.first,
            count=row.count,
            token=token,
            number=number,
            lines=b"" if row.cancelled else row.lines if row.lines is not None else next(given),
            cancelled=row.cancelled,
        )
        for row in change.rows
    ]
    return Group(change.job, change.first_record, change.records, (chunk,) if chunk else (), outcomes)
