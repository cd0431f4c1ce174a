"""The ledger: an outcome leaves it by a verdict, a task by a report, a release or a drop."""

from __future__ import annotations

import threading

import pytest

from taskgrid.model import Cause, JobNumber, TaskOptions, Token, Verdict
from taskgrid.transport.protocol import Bundle, Drop, FailedAttempt, Judged
from taskgrid.worker.held import Ended, Work
from taskgrid.worker.ledger import Ledger


@pytest.fixture
def ledger() -> Ledger:
    """Return a ledger that is full at a hundred bytes."""
    return Ledger(100, threading.Event())


def enter(ledger: Ledger, counter: int = 1, count: int = 4) -> list[Work]:
    """Lease a bundle of the tasks 0 to `count`, for 60 s from the instant 0."""
    bundle = Bundle(
        token=Token(1, counter, ""),
        job=JobNumber(1),
        function="m:f",
        runs=((0, count),),
        options=TaskOptions(),
    )
    return ledger.enter([bundle], (b"\n".join([b"[]"] * count),), 0.0, 60.0)


def end(ledger: Ledger, work: Work, start: int, stop: int) -> None:
    """End tasks of a work with their index as value."""
    ledger.add(Ended(work.lease, ((start, stop),), b"\n".join(b"%d" % index for index in range(start, stop))))


def judge(*runs: tuple[int, int], verdict: Verdict = Verdict.TAKEN) -> Judged:
    """Return a verdict on runs."""
    return Judged(runs=runs, verdict=verdict)


def test_a_lease_is_trusted_a_sixth_less_long_than_it_lasts(ledger: Ledger) -> None:
    """The worker stops before the master gives the tasks to another."""
    (work,) = enter(ledger)
    assert work.lease.trusted_until == pytest.approx(50.0)


def test_the_same_lease_twice_is_one(ledger: Ledger) -> None:
    """A repeated answer to a repeated request brings no task a second time."""
    assert len(enter(ledger)) == 1
    assert enter(ledger) == []


def test_an_outcome_is_forgotten_only_after_its_verdict(ledger: Ledger) -> None:
    """Until then every beat names its task."""
    (work,) = enter(ledger)
    end(ledger, work, 0, 2)
    batch = ledger.next_batch()
    assert [report.number for report in ledger.as_reports(batch)] == [1]
    assert ledger.held()[0].runs == ((0, 4),)
    assert not ledger.settle(batch, [(judge((0, 2)),)])
    assert ledger.held()[0].runs == ((2, 4),)
    end(ledger, work, 2, 4)
    ledger.settle(ledger.next_batch(), [(judge((2, 3)), judge((3, 4), verdict=Verdict.STALE))])
    assert ledger.held() == ()


def test_later_keeps_just_those_outcomes_under_a_new_number(ledger: Ledger) -> None:
    """A full journal costs no outcome."""
    (work,) = enter(ledger)
    failed = FailedAttempt(index=3, cause=Cause.ERROR)
    ledger.add(Ended(work.lease, ((0, 4),), b"0\n1\n2\n!{}", (failed,)))
    batch = ledger.next_batch()
    ledger.as_reports(batch)
    assert ledger.settle(batch, [(judge((0, 1)), judge((1, 2), (3, 4), verdict=Verdict.LATER), judge((2, 3)))])
    (again,) = ledger.next_batch()
    assert (again.runs, again.lines, again.failures) == (((1, 2), (3, 4)), b"1\n!{}", (failed,))
    assert ledger.as_reports([again])[0].number == 2
    assert ledger.held()[0].runs == ((1, 2), (3, 4))


def test_a_batch_that_could_not_be_carried_comes_again_first(ledger: Ledger) -> None:
    """Order is kept, and nothing is lost when the connection ends."""
    (work,) = enter(ledger)
    end(ledger, work, 0, 1)
    batch = ledger.next_batch()
    end(ledger, work, 1, 2)
    ledger.unsettle(batch)
    assert [ended.lines for ended in ledger.next_batch()] == [b"0", b"1"]


def test_the_ledger_is_full_while_too_many_bytes_wait(ledger: Ledger) -> None:
    """Also those that are on their way count, until they are answered for."""
    (work,) = enter(ledger)
    ledger.add(Ended(work.lease, ((0, 1),), b"x" * 100))
    assert ledger.is_full
    batch = ledger.next_batch()
    assert ledger.is_full
    ledger.settle(batch, [(judge((0, 1)),)])
    assert not ledger.is_full


def test_what_is_dropped_is_wanted_by_nobody(ledger: Ledger) -> None:
    """Its payloads are cut out of works, and its outcomes forgotten with its lease."""
    (work,) = enter(ledger)
    ledger.drop([Drop(token=work.lease.token, runs=((1, 3),), cancelled=True)])
    (rest,) = ledger.still_wanted([work])
    assert rest.runs == ((0, 1), (3, 4))
    assert rest.payload == b"[]\n[]"
    assert not ledger.covers(work.lease, 1)
    end(ledger, work, 0, 1)
    ledger.drop([Drop(token=work.lease.token, runs=((0, 4),))])
    assert ledger.next_batch() == []
    assert ledger.still_wanted([work]) == []
    end(ledger, work, 3, 4)
    assert ledger.next_batch() == []


def test_what_is_given_back_stays_held_until_the_master_took_it() -> None:
    """A beat in between still names it, so that it does not hang in the air."""
    owing = threading.Event()
    ledger = Ledger(100, owing)
    (work,) = enter(ledger)
    _, rest = work.split(1)
    ledger.give_back([rest])
    assert owing.is_set()
    assert ledger.held()[0].runs == ((0, 4),)
    ledger.released(ledger.next_release())
    assert ledger.held()[0].runs == ((0, 1),)
    assert ledger.next_release() == []


def test_tasks_of_a_broken_merge_are_given_back() -> None:
    """By the beat, as what was never begun: one that is on its way names them still."""
    owing = threading.Event()
    ledger = Ledger(1000, owing)
    (work,) = enter(ledger)
    ledger.add(Ended(work.lease, ((0, 4),), b"+6\n\n\n", whole=((0, 3),)))
    batch = ledger.next_batch()
    assert ledger.as_reports(batch)[0].whole == ((0, 3),)
    ledger.settle(batch, [(judge((0, 3), verdict=Verdict.BROKEN), judge((3, 4)))])
    assert owing.is_set()
    assert ledger.held()[0].runs == ((0, 3),)
    works = ledger.next_release()
    assert [each.runs for each in works] == [((0, 3),)]
    ledger.released(works)
    assert ledger.held() == ()


def test_merged_values_told_later_stay_whole(ledger: Ledger) -> None:
    """As far as their blocks are among those tasks."""
    (work,) = enter(ledger)
    ended = Ended(work.lease, ((0, 4),), b"+1\n\n+5\n", whole=((0, 2), (2, 4)))
    kept = ended.only(((2, 4),))
    assert (kept.runs, kept.lines, kept.whole) == (((2, 4),), b"+5\n", ((2, 4),))


def test_one_request_carries_no_more_than_a_frame_holds() -> None:
    """Outcomes of many leases go together, up to six mebibytes."""
    ledger = Ledger(1 << 30, threading.Event())
    for counter in range(1, 5):
        (work,) = enter(ledger, counter)
        ledger.add(Ended(work.lease, ((0, 1),), b"x" * (2 << 20)))
    assert [len(ledger.next_batch()) for _ in range(3)] == [3, 1, 0]


def test_a_beat_that_came_late_does_not_shorten_trust(ledger: Ledger) -> None:
    """An answer is counted from when its request was sent, and never backwards."""
    (work,) = enter(ledger)
    ledger.extend(ledger.held(), 70.0)
    ledger.extend(ledger.held(), 20.0)
    assert work.lease.trusted_until == 70.0
