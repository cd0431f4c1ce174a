"""What this worker holds: leases, and the works (parts of their bundles) that slots run.

A work is never parsed: its payloads stay one block of lines, and only where a bundle is really cut
in two is that block split. Pure data; knows no thread, process or wire.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from taskgrid.model import JobNumber, Run, Token
from taskgrid.model.job import TaskOptions
from taskgrid.scheduler.runs import RunSet, as_runs, count
from taskgrid.transport.protocol import Bundle, FailedAttempt, HeldLease
from taskgrid.worker.frames import Assignment, Outcomes, Slip, Unpublished
from taskgrid.worker.positions import indices, part

_FAILURE_BYTES: Final = 512
_WHOLE_BYTES: Final = 32


class Lease:
    """A lease as its worker holds it; changed by the ledger only, read by all."""

    __slots__ = (
        "attempts",
        "code",
        "function",
        "job",
        "left",
        "options",
        "reduce",
        "reports",
        "through",
        "token",
        "trusted_until",
    )

    def __init__(self, bundle: Bundle, trusted_until: float) -> None:
        self.token: Token = bundle.token
        self.job: JobNumber = bundle.job
        self.function = bundle.function
        self.through = bundle.through
        self.code = bundle.code
        self.reduce = bundle.reduce
        self.options: TaskOptions = bundle.options
        self.attempts = dict(bundle.attempts)
        self.left = RunSet(bundle.runs)
        self.reports = 0
        self.trusted_until = trusted_until

    def as_held(self) -> HeldLease:
        """Return it as a beat names it."""
        return HeldLease(token=self.token, job=self.job, runs=self.left.runs())


@dataclass(frozen=True, slots=True)
class Work:
    """Tasks of one lease that no slot has ended: their runs, and a payload line each."""

    lease: Lease
    runs: tuple[Run, ...]
    payload: bytes
    last_try: bool = False
    """A child had other code than its job means; if the next has too, its tasks fail."""

    @property
    def count(self) -> int:
        """How many tasks it has."""
        return count(self.runs)

    def split(self, position: int) -> tuple[Work, Work]:
        """Return the first `position` tasks, and the rest."""
        lines = self.payload.split(b"\n")
        low, high = b"\n".join(lines[:position]), b"\n".join(lines[position:])
        return (
            replace(self, runs=part(self.runs, 0, position), payload=low),
            replace(self, runs=part(self.runs, position, len(lines)), payload=high),
        )

    def as_assignment(self, first: int, unmerged: Collection[JobNumber] = ()) -> Assignment:
        """Return it as a child is told of it; its first task gets the ordinal `first`."""
        lease, limit = self.lease, self.lease.options.time_limit
        attempts = {index: attempt for index, attempt in lease.attempts.items() if self._has(index)}
        return Assignment(
            first=first,
            job=lease.job,
            function=lease.function,
            runs=self.runs,
            attempts=attempts,
            seconds=None if limit is None else limit.total_seconds(),
            code=lease.code,
            through=lease.through,
            reduce=None if lease.job in unmerged else lease.reduce,
            token=f"{lease.token}.{lease.token.salt}" if lease.through else "",
            last_try=self.last_try,
        )

    def _has(self, index: int) -> bool:
        return any(start <= index < stop for start, stop in self.runs)

    def still_wanted(self) -> Work | None:
        """Return it without the tasks that its lease does not cover any more; None when that is all."""
        left = self.lease.left
        if all(left.covers(*run) for run in self.runs):
            return self
        lines = iter(self.payload.split(b"\n"))
        kept = [(index, line) for (index, line) in zip(indices(self.runs), lines, strict=True) if index in left]
        if not kept:
            return None
        runs = tuple(as_runs(index for index, _ in kept))
        return replace(self, runs=runs, payload=b"\n".join(line for _, line in kept))


def halved(works: list[Work], suspects: int) -> list[Work]:
    """Cut works so that the first half of the first `suspects` tasks are works of their own."""
    pieces: list[Work] = []
    half = suspects // 2
    for work in works:
        if 0 < half < work.count:
            pieces += work.split(half)
        else:
            pieces.append(work)
        half -= work.count
    return pieces


class Ended(NamedTuple):
    """Outcomes of one lease that wait to be reported: a line per task, in order of `runs`."""

    lease: Lease
    runs: tuple[Run, ...]
    lines: bytes
    failures: tuple[FailedAttempt, ...] = ()
    seconds: float = 0.0
    durations: tuple[tuple[int, int], ...] = ()
    unpublished: tuple[tuple[int, Unpublished], ...] = ()
    """Files that wait for the verdict, each with the task that wrote it."""
    whole: tuple[Run, ...] = ()
    """Merge blocks whose values are merged: the master takes each whole or not at all."""

    @classmethod
    def of(cls, lease: Lease, runs: tuple[Run, ...], outcomes: Outcomes, lines: bytes) -> Ended:
        """Make it of what a child handed over."""
        first = outcomes.first
        failures = tuple(_failed_attempt(slip, _task_at(runs, slip.ordinal - first)) for slip in outcomes.slips)
        unpublished = tuple((_task_at(runs, each.ordinal - first), each) for each in outcomes.unpublished)
        whole = tuple((start := _task_at(runs, low - first), start + high - low) for low, high in outcomes.whole)
        return cls(lease, runs, lines, failures, outcomes.nanoseconds / 1e9, outcomes.durations, unpublished, whole)

    @property
    def header_bytes(self) -> int:
        """What failures and merged values may add to a request's header, in bytes."""
        return _FAILURE_BYTES * len(self.failures) + _WHOLE_BYTES * len(self.whole)

    def only(self, runs: tuple[Run, ...]) -> Ended:
        """Return the outcomes of these tasks alone; slot time and durations stay with what was taken."""
        wanted = RunSet(runs)
        pairs = zip(indices(self.runs), self.lines.split(b"\n"), strict=True)
        kept = [(index, line) for index, line in pairs if index in wanted]
        return Ended(
            self.lease,
            tuple(as_runs(index for index, _ in kept)),
            b"\n".join(line for _, line in kept),
            tuple(failure for failure in self.failures if failure.index in wanted),
            unpublished=tuple((index, each) for index, each in self.unpublished if index in wanted),
            whole=tuple(run for run in self.whole if wanted.covers(*run)),
        )


def _task_at(runs: tuple[Run, ...], position: int) -> int:
    ((index, _),) = part(runs, position, position + 1)
    return index


def _failed_attempt(slip: Slip, index: int) -> FailedAttempt:
    return FailedAttempt(index=index, cause=slip.cause, type=slip.type, summary=slip.summary)
