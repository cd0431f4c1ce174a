"""The result queue's messages: reports in, outcomes out in either order."""

from __future__ import annotations

from enum import StrEnum

from taskgrid.model import Cause, JobId, JobNumber, Run, Token, Verdict, WorkerId
from taskgrid.transport.protocol.frame import CUT, Message


class FailedAttempt(Message):
    """One line of a report is a failure: what the master must know to decide what follows."""

    index: int
    cause: Cause
    type: str = ""
    summary: str = ""


class Report(Message):
    """Outcomes under one lease, whole or part of its bundle; its part holds a line per task, in order of `runs`."""

    token: Token
    number: int
    """Grows with each report of the lease, from 1."""
    job: JobNumber
    runs: tuple[Run, ...]
    failures: tuple[FailedAttempt, ...] = ()
    """In order of index; all other tasks of `runs` succeeded."""
    seconds: float = 0.0
    """Slot time it took."""
    durations: tuple[tuple[int, int], ...] = ()
    """(b, n): n attempts that succeeded took between 2**b and 2**(b+1) microseconds (b = 0 includes less)."""
    whole: tuple[Run, ...] = ()
    """Merge blocks whose values are merged: each is taken whole or not at all. In order, each within one of `runs`."""


class ReportRequest(Message):
    """Part *i* belongs to report *i*."""

    worker: WorkerId
    reports: tuple[Report, ...]


class Judged(Message):
    """One run of a report and its verdict."""

    runs: tuple[Run, ...]
    verdict: Verdict


class ReportReply(Message):
    """`reports[i]` answers report *i*: its runs, each judged once."""

    reports: tuple[tuple[Judged, ...], ...]


class Order(StrEnum):
    """In which order a client fetches."""

    ARRIVAL = "arrival"  # as outcomes came
    INDEX = "index"  # by task


class Cursor(Message):
    """Where a client stands: after outcome `position` (by arrival), or at task `position` (by index)."""

    epoch: int = 0
    salt: str = ""
    """Of that epoch: tells two histories of one number apart, as after a journal was restored from a backup."""
    position: int = 0


class FetchRequest(Message):
    """Ask for what comes after the cursor; answered when there is some, when the job is complete, or after `wait`."""

    job: JobId
    order: Order
    cursor: Cursor = Cursor()
    wait: float = 20.0
    limit: int = CUT
    """Bytes of outcome lines, at least one row."""
    answers: int = 1
    """How many answers it may get within `wait`: each but the last is followed by the next, unasked."""


class OutcomeRun(Message):
    """Consecutive tasks that ended; its part holds a line each, unless they were cancelled."""

    first: int
    count: int
    cancelled: bool = False


class FetchReply(Message):
    """Part *i* belongs to outcome run *i* (empty if cancelled)."""

    rows: tuple[OutcomeRun, ...] = ()
    cursor: Cursor
    """Where to go on; it may lie behind the request's when the journal's end does."""
    complete: bool
    """The job is complete, and no row comes after these."""
    sequence: int
    """Outcome rows of the job committed so far."""


class PayloadsRequest(Message):
    """Ask for the payloads of tasks, to show them beside their results."""

    job: JobId
    run: Run


class PayloadsReply(Message):
    """Part 0 holds the lines from `run[0]` on; `run` may end earlier than asked."""

    run: Run
