"""Why a child died, and which task, if any, is to blame.

The word in shared memory names the task that ran. It is blamed when the child died of itself in the
middle of it, or when it was killed for that very task. A child that died between two tasks, or spoilt
its channel, took outcomes along: all whose outcomes these were are suspects, and are halved from
child to child until one is left, which is blamed. Never a neighbour, and nobody for other killings.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from taskgrid.model import Cause, Failure, failure_line
from taskgrid.transport.protocol import FailedAttempt
from taskgrid.worker.assigned import Assigned
from taskgrid.worker.held import Ended, Lease, Work
from taskgrid.worker.process import Child, Death
from taskgrid.worker.words import Words


class Reason(Enum):
    """Why the agent killed a child, or let it go."""

    TIME_LIMIT = auto()  # the running task is over its time limit
    MEMORY = auto()  # the child is over its memory limit
    DROPPED = auto()  # the running task was cancelled, or is another worker's
    UNTRUSTED = auto()  # the running task is of an `alone` function, and its lease may have ended
    OUTDATED = auto()  # it has imported other code than a job means
    BROKEN = auto()  # it says what no child says
    RETIRED = auto()  # it has run its number of tasks, its code is old, or the worker ends


@dataclass(frozen=True, slots=True)
class Killing:
    """The agent's reason, and the ordinal of the task it was for; for a limit without one, values were merged."""

    reason: Reason
    ordinal: int | None = None


def over_limit(lease: Lease, ran: float, child: Child, memory_limit: int | None) -> Reason | None:
    """Say which limit a task is over that has run for `ran` seconds; a function's own memory limit wins."""
    limits = lease.options
    if limits.time_limit is not None and ran >= limits.time_limit.total_seconds():
        return Reason.TIME_LIMIT
    return Reason.MEMORY if over_memory(lease, child, memory_limit) else None


def over_memory(lease: Lease, child: Child, memory_limit: int | None) -> bool:
    """Say whether a child that runs tasks of this lease has more resident than it may."""
    most = lease.options.memory_limit or memory_limit
    return most is not None and child.resident() > most


def blame(suspect: int, killing: Killing | None, death: Death, *, oom: bool) -> Cause | None:
    """Return the cause with which the only suspect failed; None if it is not to blame.

    `oom` says whether the kernel killed anything for memory since the child began.
    """
    if killing is None:
        return Cause.MEMORY if death.signal == "SIGKILL" and oom else Cause.CRASH
    if killing.reason is Reason.BROKEN:
        return Cause.CRASH
    if killing.ordinal != suspect:
        return None
    return {Reason.TIME_LIMIT: Cause.TIME_LIMIT, Reason.MEMORY: Cause.MEMORY}.get(killing.reason)


def suspects(assigned: Assigned, words: Words, killing: Killing | None) -> list[int]:
    """Return the ordinals of the running task, or of all tasks whose outcomes the child took along.

    None if a merge did it: that is not done again then, so there is nobody to be found.
    """
    if words.merging() or died_of_a_merge(words, killing):
        return []
    running = words.running()
    spoilt = killing is not None and killing.reason is Reason.BROKEN
    if spoilt or (killing is None and running is None):
        return assigned.begun(words.unbegun())
    return [running[0]] if running is not None and assigned.find(running[0]) is not None else []


def died_of_a_merge(words: Words, killing: Killing | None) -> bool:
    """Say whether the child ended while values were merged, by itself or for a limit that this exceeded."""
    if killing is None:
        return words.merging()
    return killing.ordinal is None and killing.reason in {Reason.TIME_LIMIT, Reason.MEMORY}


@dataclass(frozen=True, slots=True)
class Blamed:
    """The task that is to blame, and what is known of its attempt."""

    work: Work
    index: int
    cause: Cause
    seconds: float
    worker: str
    output: str
    why: str = ""
    """What its process did to the channel, if it was killed for that."""

    def outcome(self, death: Death) -> Ended:
        """Return the failure as an outcome to report."""
        lease = self.work.lease
        failure = Failure(
            cause=self.cause,
            message=self._message(death),
            exit_code=death.exit_code if self.cause is Cause.CRASH else None,
            signal=death.signal if self.cause is Cause.CRASH else "",
            peak_memory=death.peak_memory,
            output=self.output,
            worker=self.worker,
            attempt=lease.attempts.get(self.index, 1),
            seconds=self.seconds,
        )
        told = FailedAttempt(index=self.index, cause=self.cause, summary=failure.summary)
        runs = ((self.index, self.index + 1),)
        return Ended(lease, runs, failure_line(failure), (told,), self.seconds)

    def _message(self, death: Death) -> str:
        limits = self.work.lease.options
        if self.cause is Cause.TIME_LIMIT and limits.time_limit is not None:
            return f"killed after {self.seconds:.1f} s: its time limit is {limits.time_limit.total_seconds():g} s"
        if self.cause is Cause.MEMORY:
            return f"killed for memory: its process had {death.peak_memory >> 20:,} MiB at its peak"
        return self.why or f"its process {death.sentence}"


def system_oom_kills() -> int:
    """Return how many processes the kernel has killed for memory since it started; proc_vmstat(5)."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
