"""The master's verbs over a journal in memory: who is woken, who is answered, and with how much."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskgrid.clock import ManualClock
from taskgrid.errors import UsageError
from taskgrid.journal.memory import MemoryJournal
from taskgrid.master.engine import Engine, Waiter
from taskgrid.master.service import MasterService
from taskgrid.model import JobId, JobSpec, Run, WorkerId, new_id
from taskgrid.scheduler.state import Limits
from taskgrid.settings import MasterSettings
from taskgrid.transport.protocol import (
    MAX_FRAME,
    Bundle,
    Cursor,
    EnlistRequest,
    FetchRequest,
    LeaseRequest,
    Offer,
    Order,
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

    def __init__(self, after: MemoryJournal | None = None) -> None:
        self.journal = MemoryJournal(after=after)
        self.engine = Engine(self.journal, ManualClock(), Limits())
        self.service = MasterService(self.engine, MasterSettings())
        self.peer = Peer("here:1", frozenset(), 1)

    def enlist(self) -> None:
        request = EnlistRequest(
            worker=_WORKER, name="w", host="h", pid=1, slots=1, version="0", python="3", offers=(Offer(function="m:f"),)
        )
        self.service.enlist(self.peer, request, ())

    def submit(self, *payloads: bytes) -> JobId:
        identity = JobId(new_id())
        spec = JobSpec(id=identity, function="m:f")
        request = SubmitRequest(job=identity, ordinal=0, count=len(payloads), seal=True, spec=spec)
        self.service.submit(self.peer, request, (b"\n".join(payloads),))
        return identity

    def lease(self, *, bundles: int = 1, connection: int = 1) -> list[tuple[Bundle, bytes]]:
        request = LeaseRequest(worker=_WORKER, nonce=new_id(), bundles=bundles, wait=0.0)
        reply, parts = self.service.lease(self.peer._replace(connection=connection), request, ())
        return list(zip(reply.bundles, parts, strict=True))

    def report(self, bundle: Bundle, runs: tuple[Run, ...] | None = None, lines: bytes = b"1") -> None:
        report = Report(token=bundle.token, number=1, job=bundle.job, runs=runs or bundle.runs)
        self.service.report(self.peer, ReportRequest(worker=_WORKER, reports=(report,)), (lines,))

    def fetch(self, job: JobId, cursor: Cursor) -> tuple[Cursor, int]:
        request = FetchRequest(job=job, order=Order.ARRIVAL, cursor=cursor, wait=0.0)
        reply, _ = self.service.fetch(self.peer, request, ())
        return reply.cursor, len(reply.rows)


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
    engine = master.engine
    first, second = Waiter(1), Waiter(2)
    with engine.lock:
        engine.sleep_for_work(first)
        engine.sleep_for_work(second)
    master.submit(b"[1]")
    assert first.event.is_set()
    assert not second.event.is_set()
    with engine.lock:
        engine.pass_on(first)
    assert second.event.is_set()


def test_every_waiter_is_woken_once_by_a_wake_that_none_can_use(master: Master) -> None:
    """Polls of workers that can't run the job do not wake each other in a circle."""
    engine = master.engine
    waiters = [Waiter(number) for number in range(3)]
    with engine.lock:
        for waiter in waiters:
            engine.sleep_for_work(waiter)
    master.submit(b"[1]")
    for waiter in waiters:
        assert waiter.event.is_set()
        with engine.lock:
            engine.sleep_for_work(waiter)
    assert not any(waiter.event.is_set() for waiter in waiters)


def test_a_bundle_never_outgrows_its_frame_after_a_restart(master: Master) -> None:
    """How large payloads are is learnt again; what does not fit is given back, not stuck."""
    payload = b"[" + b"1" * 300_000 + b"]"
    for _ in range(20):
        master.submit(*[payload] * 3)
    master.journal.close()
    after = Master(after=master.journal)
    after.enlist()
    after.engine.core.doubt_until = 0.0
    for job in after.engine.core.jobs.values():
        job.again.add(0, 3)
        job.doubt.remove(0, 3)
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
    seen, rows = master.fetch(job, Cursor())
    assert (seen.position, rows) == (1, 1)
    master.journal.close()
    after = Master(after=master.journal)
    after.engine.core.by_id[job].restored_sequence = 0  # the row was not on disk
    again, rows = after.fetch(job, seen)
    assert (again.position, rows) == (1, 1), "it is given again, not skipped"
    assert after.fetch(job, again) == (again, 0)
    after.journal.close()


def test_a_retried_task_is_waited_for_and_not_given_as_it_was(master: Master) -> None:
    """By index a fetch ends at the first task that has not ended, whatever the journal still has of it."""
    master.enlist()
    job = master.submit(b"[1]", b"[2]")
    selector = Selector(job=job)
    master.service.cancel(master.peer, SelectRequest(selectors=(selector,)), ())
    master.service.retry(master.peer, SelectRequest(selectors=(selector,)), ())
    ((bundle, _),) = master.lease()
    master.report(bundle, lines=b"7")
    request = FetchRequest(job=job, order=Order.INDEX, wait=0.0)
    reply, parts = master.service.fetch(master.peer, request, ())
    assert [(row.first, row.count, row.cancelled) for row in reply.rows] == [(0, 1, False)]
    assert parts == (b"7",)
    assert reply.cursor.position == 1
