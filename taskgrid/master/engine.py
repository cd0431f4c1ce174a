"""The master's engine: the scheduler's state behind one lock, and the journal behind that.

Deciding and applying are one step under the lock, and changes are appended there too, so that the
journal has them in the order of decision. Nothing that rests on a change leaves before its commit:
callers hold a `Ticket` and wait for it outside the lock. It knows no verbs and no wire.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from taskgrid.clock import Clock
from taskgrid.journal.protocol import ChunkRow, Commit, Group, Journal, OutcomeRow
from taskgrid.master.attendant import Attendant
from taskgrid.master.meters import Meters
from taskgrid.master.polls import LongPoll, Look, Polls
from taskgrid.model import JobNumber, Record, Token, WorkerId
from taskgrid.scheduler import checkpoint, workers
from taskgrid.scheduler.change import Change
from taskgrid.scheduler.limits import Limits
from taskgrid.scheduler.state import Core, Job
from taskgrid.scheduler.submit import lowered_mark
from taskgrid.transport.protocol import Answer, Deferred, Peer

_CHECKPOINT_EVERY = 10_000
_RATE_SECONDS = 5.0
_GONE_KEPT = 4096
_ATTEND_EVERY = 60.0


class Ticket:
    """Waits for the commit of what was appended with it."""

    __slots__ = ("_done", "_engine", "_gate")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._done = False
        self._gate = threading.Lock()  # an event would cost more than all else that is done for a small report
        self._gate.acquire()

    def fulfil(self) -> None:
        """Let those that wait go on; once."""
        self._done = True
        self._gate.release()

    def wait(self, timeout: float = -1) -> bool:
        """Return when the commit is done; False if it was not within `timeout` seconds.

        The waiting thread commits itself if nobody is at it, and answers a poll that waited for this: on
        a quiet grid that spares three changes of threads, which cost more than the commit.
        """
        if not self._done:
            self._engine.journal.commit_now()
        if not self._done and self._gate.acquire(timeout=timeout):
            self._gate.release()  # for the next that waits
        self._engine.serve()
        return self._done


class Engine:
    """State, lock, journal, and those who wait."""

    def __init__(self, journal: Journal, clock: Clock, limits: Limits) -> None:
        self.journal = journal
        self.clock = clock
        self.lock = threading.Lock()
        replayed, newest = _replay(journal)
        # A wall clock that was set back while no master ran must not hold up what is due soon.
        self._ahead = max(0.0, newest - clock.now())
        self.core = Core(journal.epoch, journal.epochs, limits, self.now())
        self.started_at = self.now()
        self.closing = False
        self._workers: dict[int, WorkerId] = {}
        self._gone: dict[int, None] = {}
        self._tickets: dict[JobNumber, Ticket] = {}
        self._checkpointed: dict[JobNumber, int] = {}
        self.polls = Polls()
        self.meters = Meters()
        self.attendant = Attendant(self.attend)
        self._attend_at = 0.0
        self.ended = 0
        """Tasks that ended since this start."""
        self._samples: deque[tuple[float, int]] = deque([(self.started_at, 0)])
        self._restore(replayed)

    def now(self) -> float:
        """Return grid time; it goes on from the newest instant of the journal if the clock is behind that."""
        return self.clock.now() + self._ahead

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
        ticket = Ticket(self)
        positions = [(group.job, group.first_record + len(group.records) - 1) for group in groups]
        for number, _ in positions:
            self._tickets[number] = ticket
        self.ended += sum(row.count for group in groups for row in group.outcomes)
        self.journal.append(groups, lambda _: self._committed(positions, ticket, _, attended=not wake), wake=wake)
        return ticket

    def ticket(self, job: Job, record: int) -> Ticket | None:
        """Return what to wait for until the job's `record` is committed; None if it is. Under the lock."""
        return None if job.committed_record >= record else self._tickets.get(job.number)

    def _committed(
        self, positions: list[tuple[JobNumber, int]], ticket: Ticket, commit: Commit, *, attended: bool
    ) -> None:
        snapshots = []
        with self.lock:
            for number, record in positions if commit is Commit.COMMITTED else ():
                if job := self.core.jobs.get(number):
                    before = job.committed_sequence
                    self.core.committed(job, record)
                    if self._is_to_be_kept(job):
                        snapshots.append(checkpoint.snapshot(job))
                    if job.committed_sequence != before or job.committed_ended:
                        self.polls.wake_for_job(number)  # else there is nothing new to fetch
            self.wake_if_work(attended=True)
        ticket.fulfil()
        if not attended and self.polls.any_woken:
            self.attendant.nudge()
        for snapshot in snapshots:
            self._keep(snapshot)

    def _is_to_be_kept(self, job: Job) -> bool:
        """Say that a job is to be checkpointed: now and then, and when it ends."""
        due = job.next_record - self._checkpointed.get(job.number, 0)
        if due < _CHECKPOINT_EVERY and not (due and job.committed_ended and job.ended):
            return False
        self._checkpointed[job.number] = job.next_record
        return True

    def _keep(self, snapshot: checkpoint.Snapshot) -> None:
        """Encode a checkpoint while others decide; drop it if the job was forgotten meanwhile."""
        body = snapshot.encode()
        with self.lock:
            if snapshot.job in self.core.jobs:
                self.journal.checkpoint(snapshot.job, snapshot.next_record, body)

    def _restore(self, replayed: Sequence[tuple[Job, int]]) -> None:
        now = self.now()
        for job, checkpointed in replayed:
            checkpoint.restore(self.core, job, now)
            self._checkpointed[job.number] = checkpointed

    def forget(self, job: Job) -> None:
        """Drop what is kept beside a forgotten job, and its rows; under the lock."""
        self._tickets.pop(job.number, None)
        self._checkpointed.pop(job.number, None)
        self.journal.forget(job.number)
        self.polls.wake_for_job(job.number)
        self.attendant.nudge()

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
        self.polls.hang_up(connection)
        if self.polls.any_woken:
            self.attendant.nudge()
        if worker := self._workers.pop(connection, None):
            workers.disconnected(self.core, worker, self.now())

    # ------------------------------------------------------------ waiting

    def wake(self, *, attended: bool = False) -> None:
        """Wake who waits for work: as many as there may be bundles; under the lock.

        Who says `attended` calls `serve` as soon as it has left the lock.
        """
        self.polls.wake_for_work(self.core.bundles(1 << 10))
        if not attended and self.polls.any_woken:
            self.attendant.nudge()

    def wake_if_work(self, *, attended: bool = False) -> None:
        """Wake who waits if there is something to lease; under the lock."""
        if self.polls.await_work and self.core.waiting.jobs:
            self.wake(attended=attended)

    def poll(self, connection: int, wait: float, look: Look, answers: int = 1) -> Answer | Deferred:
        """Answer a request at once, or within `wait` seconds when there is something; not under the lock."""
        poll = LongPoll(connection, self.now() + wait, look, answers)
        answer = poll.begin()
        if poll.deadline < self._attend_at:
            self.attendant.nudge()
        return answer

    def serve(self) -> None:
        """Answer one poll that was woken, and leave the others to the attendant; not under the lock."""
        if poll := self.polls.next_woken():
            poll.look_again()
            if self.polls.any_woken:
                self.attendant.nudge()

    def attend(self) -> float:
        """Answer all polls that were woken or have waited long enough; return for how many seconds none will have."""
        now = self.now()
        if now >= self._attend_at:
            with self.lock:
                self.polls.expire(now)
        while poll := self.polls.next_woken():
            poll.look_again()
        with self.lock:
            self._attend_at = min(self.polls.soonest(), self.now() + _ATTEND_EVERY)
        return max(0.0, self._attend_at - self.now())

    def lower_marks(self) -> None:
        """Let the next start know which tasks were never leased: only a crash leaves those in doubt."""
        with self.lock:
            self.append([change for job in self.core.active.values() if (change := lowered_mark(self.core, job))])

    def hush(self) -> None:
        """End every long poll: the master is about to leave."""
        with self.lock:
            self.closing = True
            self.polls.wake_all()
        while poll := self.polls.next_woken():
            poll.look_again()

    # ------------------------------------------------------------ figures

    def rate(self) -> float:
        """Return tasks ended per second over the last seconds; under the lock."""
        now = self.now()
        self._samples.append((now, self.ended))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()
        since, ended = self._samples[0]
        return (self.ended - ended) / (now - since) if now > since else 0.0


def _replay(journal: Journal) -> tuple[list[tuple[Job, int]], float]:
    """Return the journal's jobs, each with its first record after the checkpoint, and the newest instant there is."""
    jobs: list[tuple[Job, int]] = []
    newest = 0.0
    for stored in journal.replay():
        instants = [0.0]
        job = checkpoint.replay(stored.checkpoint, _noting(stored.records, instants))
        if job is not None:
            jobs.append((job, stored.next_record))
            newest = max(newest, job.created_at, job.ended_at or 0.0, *instants)
    return jobs, newest


def _noting(records: Iterable[Record], instants: list[float]) -> Iterator[Record]:
    """Pass records on, and keep the newest instant that one of them names."""
    for record in records:
        instants[0] = max(instants[0], getattr(record, "at", 0.0))
        yield record


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
