"""The master's verbs over a journal in memory: who is woken, who is answered, and with how much."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from taskgrid.clock import ManualClock
from taskgrid.errors import UnknownJob, UsageError
from taskgrid.journal.memory import MemoryJournal
from taskgrid.journal.protocol import Durability
from taskgrid.master.engine import Engine
from taskgrid.master.polls import LongPoll
from taskgrid.master.service import MasterService
from taskgrid.model import JobId, JobNumber, JobSpec, Run, WorkerId, new_id
from taskgrid.scheduler import control, workers
from taskgrid.scheduler.limits import Limits
from taskgrid.settings import MasterSettings
from taskgrid.transport.protocol import (
    MAX_FRAME,
    Answer,
    Bundle,
    Cursor,
    Deferred,
    EnlistRequest,
    ExtendRequest,
    FetchReply,
    FetchRequest,
    LeaseReply,
    LeaseRequest,
    Offer,
    Order,
    Outcome,
    Parts,
    Peer,
    Report,
    ReportRequest,
    Selector,
    SelectRequest,
    SubmitRequest,
)

_WORKER = WorkerId("w")


class Master:
    """A service over an engine, called as the server would."""

    def __init__(self, after: MemoryJournal | None = None, durability: Durability = Durability.NONE) -> None:
        self.journal = MemoryJournal(durability, after=after)
        self.clock = ManualClock()
        self.engine = Engine(self.journal, self.clock, Limits())
        self.service = MasterService(self.engine, MasterSettings())
        self.peer = Peer("here:1", frozenset(), 1)

    def enlist(self, *, told: bool = True) -> None:
        request = EnlistRequest(
            worker=_WORKER, name="w", host="h", pid=1, slots=1, version="0", python="3", offers=(Offer(function="m:f"),)
        )
        self.service.enlist(self.peer, request, ())
        if told:
            self.beat()

    def beat(self) -> None:
        self.service.extend(self.peer, ExtendRequest(worker=_WORKER), ())

    def submit(self, *payloads: bytes, function: str = "m:f") -> JobId:
        identity = JobId(new_id())
        spec = JobSpec(id=identity, function=function)
        request = SubmitRequest(job=identity, ordinal=0, count=len(payloads), seal=True, spec=spec)
        self.service.submit(self.peer, request, (b"\n".join(payloads),))
        return identity

    def lease(self, *, bundles: int = 1, connection: int = 1) -> list[tuple[Bundle, bytes]]:
        request = LeaseRequest(worker=_WORKER, nonce=new_id(), bundles=bundles, wait=0.0)
        answer = self.service.lease(self.peer._replace(connection=connection), request, ())
        assert not isinstance(answer, Deferred), "a poll that waits for no time is answered at once"
        reply, parts = answer
        assert isinstance(reply, LeaseReply)
        return list(zip(reply.bundles, parts, strict=True))

    def poll_for_work(self, wait: float = 20.0) -> Deferred:
        request = LeaseRequest(worker=_WORKER, nonce=new_id(), bundles=1, wait=wait)
        answer = self.service.lease(self.peer, request, ())
        assert isinstance(answer, Deferred)
        return answer

    def poll_for_outcomes(self, job: JobId, answers: int = 1) -> Deferred:
        request = FetchRequest(job=job, order=Order.ARRIVAL, wait=20.0, answers=answers)
        answer = self.service.fetch(self.peer, request, ())
        assert isinstance(answer, Deferred)
        return answer

    def report(self, bundle: Bundle, runs: tuple[Run, ...] | None = None, lines: bytes = b"1") -> None:
        report = Report(token=bundle.token, number=1, job=bundle.job, runs=runs or bundle.runs)
        self.service.report(self.peer, ReportRequest(worker=_WORKER, reports=(report,)), (lines,))

    def fetch(self, job: JobId, cursor: Cursor, order: Order = Order.ARRIVAL) -> tuple[FetchReply, Parts]:
        request = FetchRequest(job=job, order=order, cursor=cursor, wait=0.0)
        answer = self.service.fetch(self.peer, request, ())
        assert not isinstance(answer, Deferred), "likewise"
        reply, parts = answer
        assert isinstance(reply, FetchReply)
        return reply, parts


def answered(poll: Deferred) -> Answer:
    """Return the answer that is there, or raise what is there in its place."""
    if isinstance(poll.outcome, Exception):
        raise poll.outcome
    assert poll.outcome is not None, "it was not answered"
    return poll.outcome


class _Idle:
    """A poll that never takes anything."""

    def __init__(self, connection: int, engine: Engine) -> None:
        self._polls = engine.polls
        self._lock = engine.lock
        self.poll = LongPoll(connection, math.inf, lambda _: None)
        self.wait()

    def wait(self) -> None:
        with self._lock:
            self._polls.wait_for_work(self.poll)

    def was_woken(self) -> None:
        assert self._polls.next_woken() is self.poll


@pytest.fixture
def master() -> Iterator[Master]:
    """Give a master and close its journal."""
    made = Master()
    yield made
    made.journal.close()


def test_nothing_is_leased_to_a_connection_that_is_gone(master: Master) -> None:
    """Its last call may outlive it; what it got would lie there until the lease expires."""
    master.enlist()
    master.submit(b"[1]")
    gone = master.peer._replace(connection=7)
    master.service.disconnected(gone)
    assert master.lease(connection=7) == []
    assert master.engine.core.leases == {}
    assert master.engine.core.workers[_WORKER].connections == 1, "nor is it counted among its worker's"
    assert len(master.lease()) == 1


def test_a_poll_that_ends_without_work_wakes_the_next_in_line(master: Master) -> None:
    """A wake-up that met a poll at its end is not lost on those behind it."""
    polls = master.engine.polls
    first, second = _Idle(1, master.engine), _Idle(2, master.engine)
    with master.engine.lock:
        polls.wake_for_work(1)
    first.was_woken()
    assert polls.next_woken() is None
    with master.engine.lock:
        polls.pass_on(first.poll)
    second.was_woken()


def test_every_poll_is_woken_once_by_a_wake_that_none_can_use(master: Master) -> None:
    """Polls of workers that can't run the job do not wake each other in a circle."""
    idle = [_Idle(number, master.engine) for number in range(3)]
    with master.engine.lock:
        master.engine.polls.wake_for_work(1)
    for each in idle:
        each.was_woken()
        each.wait()
    assert master.engine.polls.next_woken() is None


def test_a_long_poll_holds_no_thread_and_is_answered_by_who_submits(master: Master) -> None:
    """The bundle is there when the submit returns."""
    master.enlist()
    answer = master.poll_for_work()
    master.submit(b"[1]")
    reply, parts = answered(answer)
    assert isinstance(reply, LeaseReply)
    assert [bundle.runs for bundle in reply.bundles] == [((0, 1),)]
    assert parts == (b"[1]",)


def test_a_long_poll_ends_when_its_time_is_up(master: Master) -> None:
    """With nothing, and out of the line: the next task is somebody else's."""
    master.enlist()
    answer = master.poll_for_work(wait=5.0)
    assert master.engine.attend() == pytest.approx(5.0)
    master.clock.advance(5.0)
    master.engine.attend()
    reply, _ = answered(answer)
    assert isinstance(reply, LeaseReply)
    assert reply.bundles == ()
    master.submit(b"[1]")
    assert len(master.lease()) == 1


def _told(poll: Deferred) -> list[tuple[int, bool]]:
    """Return a list that gets each answer of a fetch: where it goes on, and whether another follows."""
    told: list[tuple[int, bool]] = []

    def tell(outcome: Outcome, more: bool) -> None:
        assert isinstance(outcome, tuple), outcome
        assert isinstance(outcome[0], FetchReply)
        told.append((outcome[0].cursor.position, more))

    poll.then(tell)
    return told


def test_a_standing_fetch_is_answered_as_often_as_it_said(master: Master) -> None:
    """Each answer goes on where the one before ended, and the last one says that it is."""
    master.enlist()
    job = master.submit(*[b"[]"] * 4)
    told = _told(master.poll_for_outcomes(job, answers=3))
    for count in range(1, 5):
        ((bundle, _),) = master.lease()
        master.report(bundle)
        assert [position for position, _ in told] == list(range(1, min(count, 3) + 1))
    assert [more for _, more in told] == [True, True, False]


def test_a_standing_fetch_ends_with_a_large_answer(master: Master) -> None:
    """Nobody says that he has read it, so what is under way must fit into the connection."""
    master.enlist()
    told = _told(master.poll_for_outcomes(master.submit(b"[]", b"[]"), answers=3))
    for lines in (b"1", b'"%s"' % (b"x" * 1000)):
        ((bundle, _),) = master.lease()
        master.report(bundle, lines=lines)
    assert told == [(1, True), (2, False)]


def test_a_standing_fetch_ends_when_its_time_is_up(master: Master) -> None:
    """However many answers it had, its client hears that it has to ask again."""
    master.enlist()
    told = _told(master.poll_for_outcomes(master.submit(b"[]", b"[]"), answers=3))
    ((bundle, _),) = master.lease()
    master.report(bundle)
    master.clock.advance(21.0)
    master.engine.attend()
    assert told == [(1, True), (1, False)]


def test_who_asked_before_it_said_what_it_holds_gets_work_when_it_has(master: Master) -> None:
    """Its request came over again to a new master, in between."""
    master.enlist(told=False)
    master.submit(b"[1]")
    poll = master.poll_for_work()
    master.engine.attend()
    assert poll.outcome is None
    master.beat()
    master.engine.attend()
    reply, _ = answered(poll)
    assert isinstance(reply, LeaseReply)
    assert len(reply.bundles) == 1


def test_all_long_polls_end_when_the_master_is_about_to_leave(master: Master) -> None:
    """A worker that hears nothing would wait for its time-out instead of for the next master."""
    master.enlist()
    work, outcome = master.poll_for_work(), master.poll_for_outcomes(master.submit(b"[1]", function="m:g"))
    master.engine.hush()
    assert work.outcome
    assert outcome.outcome


def test_a_look_that_fails_is_the_answer(master: Master) -> None:
    """It is an error in its place, not a silence."""
    job = JobId(new_id())

    def fail(_: LongPoll) -> None:
        raise UnknownJob(f"there is no job {job}")

    poll = LongPoll(1, math.inf, fail)
    with master.engine.lock:
        master.engine.polls.wait_for_job(poll, JobNumber(7))
        master.engine.polls.wake_for_job(JobNumber(7))
    master.engine.attend()
    with pytest.raises(UnknownJob):
        answered(poll)


def test_a_bundle_never_outgrows_its_frame_after_a_restart(master: Master) -> None:
    """How large payloads are is learnt again; what does not fit is given back, not stuck."""
    payload = b"[" + b"1" * 300_000 + b"]"
    for _ in range(20):
        master.submit(*[payload] * 3)
    master.journal.close()
    after = Master(after=master.journal)
    after.enlist()
    for _ in range(60):  # nobody comes back for what is in doubt
        after.clock.advance(1.0)
        after.enlist()
        with after.engine.lock:
            after.engine.append(workers.tick(after.engine.core, after.clock.now()).changes)
    after.journal.flush()
    for job in after.engine.core.jobs.values():
        job.durations.add([(0, 100)])
        job.largest_done = 1000
    given = after.lease(bundles=60)
    assert sum(len(part) for _, part in given) < MAX_FRAME - (1 << 20)
    assert given
    for bundle, part in given:
        assert bundle.count == part.count(b"\n") + 1
    leased = sum(job.counts[2] for job in after.engine.core.jobs.values())
    assert leased == sum(bundle.count for bundle, _ in given), "the rest waits for the next request"
    after.journal.close()


def test_a_report_whose_runs_overlap_is_refused_and_changes_nothing(master: Master) -> None:
    """One liar can't leave a hole in the journal."""
    master.enlist()
    job = master.submit(b"[1]", b"[2]")
    ((bundle, _),) = master.lease()
    records = master.engine.core.by_id[job].next_record
    with pytest.raises(UsageError):
        master.report(bundle, ((0, 1), (0, 1)), b"1\n1")
    assert master.engine.core.by_id[job].next_record == records
    master.report(bundle)
    assert master.engine.core.by_id[job].counts[3] == 1


def test_a_cursor_of_an_earlier_start_resumes_where_this_one_began(master: Master) -> None:
    """Outcomes lost with a machine's power are numbered anew: a cursor beyond them must not skip those."""
    master.enlist()
    job = master.submit(b"[1]", b"[2]", b"[3]")
    ((bundle, _),) = master.lease()
    master.report(bundle)
    reply, _ = master.fetch(job, Cursor())
    seen = reply.cursor
    assert (seen.position, len(reply.rows)) == (1, 1)
    master.journal.close()
    after = Master(after=master.journal)
    after.engine.core.by_id[job].restored_sequence = 0  # the row was not on disk
    reply, _ = after.fetch(job, seen)
    again = reply.cursor
    assert (again.position, len(reply.rows)) == (1, 1), "it is given again, not skipped"
    reply, _ = after.fetch(job, again)
    assert (reply.cursor, reply.rows) == (again, ())
    after.journal.close()


def test_a_cursor_of_another_history_resumes_at_the_beginning(master: Master) -> None:
    """A journal restored from a backup gives the same epoch number to another start; its random bits tell."""
    master.enlist()
    job = master.submit(b"[1]", b"[2]", b"[3]")
    ((bundle, _),) = master.lease()
    master.report(bundle)
    reply, _ = master.fetch(job, Cursor())
    elsewhere = reply.cursor.model_copy(update={"salt": "0" * 16})
    reply, _ = master.fetch(job, elsewhere)
    assert (reply.cursor.position, len(reply.rows)) == (1, 1), "it is given again, not skipped"


@pytest.mark.parametrize("durability", [Durability.PROCESS, Durability.POWER])
def test_a_cursor_of_two_starts_ago_resumes_at_the_beginning(durability: Durability) -> None:
    """In between rows may have been lost, also by a backup that was put back, and numbered anew."""
    master = Master(durability=durability)
    master.enlist()
    job = master.submit(b"[1]", b"[2]", b"[3]")
    ((bundle, _),) = master.lease()
    master.report(bundle)
    seen = master.fetch(job, Cursor())[0].cursor
    for _ in range(2):
        master.journal.close()
        master = Master(after=master.journal, durability=durability)
    assert len(master.fetch(job, seen)[0].rows) == 1, "it is given again, not skipped"
    master.journal.close()


@pytest.mark.parametrize("order", Order)
def test_a_job_is_not_called_complete_once_a_retry_is_decided(master: Master, order: Order) -> None:
    """By index a fetch ends at the retried task: called complete then, the tasks after it would never be given."""
    job = master.submit(b"[1]", b"[2]")
    master.service.cancel(master.peer, SelectRequest(selectors=(Selector(job=job),)), ())
    before, _ = master.fetch(job, Cursor(), order)
    assert before.complete
    with master.engine.lock:
        change = control.retry(master.engine.core, master.engine.core.by_id[job], ((0, 1),), master.clock.now())
    during, _ = master.fetch(job, Cursor(), order)
    assert not during.complete
    with master.engine.lock:
        master.engine.append(change)
    master.journal.flush()
    after, _ = master.fetch(job, Cursor(), order)
    assert not after.complete


def test_a_retried_task_is_waited_for_and_not_given_as_it_was(master: Master) -> None:
    """By index a fetch ends at the first task that has not ended, whatever the journal still has of it."""
    master.enlist()
    job = master.submit(b"[1]", b"[2]")
    selector = Selector(job=job)
    master.service.cancel(master.peer, SelectRequest(selectors=(selector,)), ())
    master.service.retry(master.peer, SelectRequest(selectors=(selector,)), ())
    ((bundle, _),) = master.lease()
    master.report(bundle, lines=b"7")
    reply, parts = master.fetch(job, Cursor(), Order.INDEX)
    assert [(row.first, row.count, row.cancelled) for row in reply.rows] == [(0, 1, False)]
    assert parts == (b"7",)
    assert reply.cursor.position == 1
