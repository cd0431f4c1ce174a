"""The reporter against a master of the test's own: who sends what ended, and when it counts as reported."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from transport_world import manager, serving, wait_until

from taskgrid.errors import TaskGridError
from taskgrid.model import JobNumber, Run, TaskOptions, Token, Verdict, WorkerId
from taskgrid.transport.channel import Ask
from taskgrid.transport.protocol import Bundle, Judged, Parts, Peer, ReportReply, ReportRequest
from taskgrid.worker.held import Ended, Lease
from taskgrid.worker.ledger import Ledger
from taskgrid.worker.reporter import Reporter


@dataclass
class Judge:
    """Takes everything that is reported, once it may answer."""

    taken: list[bytes] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def disconnected(self, _peer: Peer) -> None:
        """Hear nothing of it."""

    def report(self, _peer: Peer, request: ReportRequest, parts: Parts) -> tuple[ReportReply, Parts]:
        """Take what is reported."""
        self.taken += parts
        self.may_answer.wait(30)
        return ReportReply(reports=tuple((_taken(*report.runs),) for report in request.reports)), ()


class House:
    """A ledger, its reporter, and a lease of ten tasks."""

    def __init__(self) -> None:
        self.judge = Judge()
        self.ledger = Ledger(1 << 20, threading.Event(), ended=lambda: self.reporter.begin())  # noqa: PLW0108  # it is made later
        self.trouble: list[TaskGridError] = []
        self.reporter: Reporter
        token = Token(1, 1, "salt")
        bundle = Bundle(token=token, job=JobNumber(1), function="m:f", runs=((0, 10),), options=TaskOptions())
        (work,) = self.ledger.enter([bundle], (b"\n".join([b"[]"] * 10),), 0.0, 60.0)
        self._lease: Lease = work.lease

    def end(self, task: int) -> None:
        """Let a task end, as the pool's thread does."""
        self.ledger.add(Ended(self._lease, ((task, task + 1),), b"%d" % task))


@pytest.fixture
def house() -> Iterator[House]:
    """Make a house whose reporter is at rest, once it has a connection."""
    made = House()
    with serving(made.judge) as server, manager(server.address[1]) as grid:  # type: ignore[arg-type]  # no probe: it can be let go, too
        made.reporter = Reporter(WorkerId("w" * 32), grid.get_result_queue(), made.ledger, made.trouble.append)
        made.reporter.start()
        made.judge.may_answer.set()
        made.end(0)
        assert made.ledger.wait_reported(30.0)
        assert wait_until(lambda: made.reporter._is_at_rest)
        yield made
        made.judge.may_answer.set()
        assert made.reporter.stop(30.0)
        assert not made.trouble


def test_what_ends_while_the_reporter_rests_is_sent_by_who_adds_it(house: House) -> None:
    """No other thread has to wake up for it to leave."""
    senders: list[threading.Thread] = []
    begin = house.reporter._queue.begin

    def noted(ask: Ask) -> None:
        senders.append(threading.current_thread())
        begin(ask)

    house.reporter._queue.begin = noted  # type: ignore[method-assign]  # heard, and done
    house.end(1)
    assert house.ledger.wait_reported(30.0)
    assert house.judge.taken == [b"0", b"1"]
    assert senders == [threading.current_thread()]


def test_what_ends_meanwhile_goes_together_in_the_next_report(house: House) -> None:
    """While a request is under way the others gather."""
    house.judge.may_answer.clear()
    house.end(1)
    assert wait_until(lambda: house.judge.taken == [b"0", b"1"])
    assert wait_until(lambda: not house.reporter._is_at_rest)
    house.end(2)
    house.end(3)
    assert not house.ledger.wait_reported(0.05)
    house.judge.may_answer.set()
    assert house.ledger.wait_reported(30.0)
    assert house.judge.taken == [b"0", b"1", b"2", b"3"]
    assert [held.runs for held in house.ledger.held()] == [((4, 10),)]


def test_report_that_was_begun_survives_the_loss_of_its_connection(house: House) -> None:
    """It is said again, and only a verdict lets the outcome go."""
    house.judge.may_answer.clear()
    house.end(1)
    assert wait_until(lambda: len(house.judge.taken) == 2)
    stream = house.reporter._queue._channel._stream
    assert stream is not None
    stream.shutdown()
    house.judge.may_answer.set()
    assert house.ledger.wait_reported(30.0)
    assert house.judge.taken == [b"0", b"1", b"1"]


def _taken(*runs: Run) -> Judged:
    return Judged(runs=runs, verdict=Verdict.TAKEN)
