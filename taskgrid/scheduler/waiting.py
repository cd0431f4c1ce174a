"""Who is served next: the jobs that have something to lease, in the order of their turns.

Jobs stand in line by what may run them (function, code, places), there by priority and owner, and there
among their owner's jobs. What a turn is made of only grows (seconds used, leases given), so a
place in line need not be kept up to date: it is put right when it comes to the front, and who
waits for nothing any more leaves there. A report or a lease therefore moves nobody, and jobs with
nothing to lease cost nothing. Knows nothing of tasks or workers.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from taskgrid.model import JobNumber


class Kind(NamedTuple):
    """What a worker must have to run a job."""

    function: str
    version: str
    """Of the function's code; "" where any will do."""
    places: tuple[str, ...] = ()
    """Folders that it must see."""


Turn = tuple[float, ...]
_SPARE = 64
_KINDS_KEPT = 8
"""Kinds that nobody waits for and that stay all the same: the next call of the same function is of one."""


class Member(Protocol):
    """Who may stand in a line."""

    in_line: bool

    @property
    def waits(self) -> bool:
        """Say whether there is something to lease."""

    @property
    def turn(self) -> Turn:
        """The least is served first; no two of a line are equal, and none ever shrinks."""


M = TypeVar("M", bound=Member)


class Line(Generic[M]):
    """Members by their turns."""

    __slots__ = ("_heap", "_trim_at")

    def __init__(self) -> None:
        self._heap: list[tuple[Turn, M]] = []
        self._trim_at = _SPARE

    def join(self, member: M) -> None:
        """Put a member in, if it isn't there."""
        if member.in_line:
            return
        if len(self._heap) >= self._trim_at:
            self._keep(member for _, member in self._heap if member.waits)
            self._trim_at = 2 * len(self._heap) + _SPARE
        member.in_line = True
        heapq.heappush(self._heap, (member.turn, member))

    def front(self) -> M | None:
        """Return who is next; None if nobody waits."""
        heap = self._heap
        while heap:
            noted, member = heap[0]
            if not member.waits:
                self.step_aside()
                continue
            turn = member.turn
            if turn == noted:
                return member
            heapq.heapreplace(heap, (turn, member))
        return None

    def step_aside(self) -> None:
        """Take the front member out."""
        heapq.heappop(self._heap)[1].in_line = False

    def remove(self, member: M) -> None:
        """Take a member out, wherever it stands."""
        self._keep(each for _, each in self._heap if each is not member)

    def _keep(self, members: Iterable[M]) -> None:
        kept = list(members)
        for _, member in self._heap:
            member.in_line = False
        for member in kept:
            member.in_line = True
        self._heap = [(member.turn, member) for member in kept]
        heapq.heapify(self._heap)


@dataclass(slots=True)
class Owner:
    """Whose jobs share: what they used since the master started."""

    usage: float = 0.0
    """Slot-seconds."""
    grants: int = 0
    """Leases given: among those that used as much, who got fewer goes first."""
    jobs: int = 0
    """Jobs that are not forgotten."""


class Job(Member, Protocol):
    """What must be known of a job."""

    number: JobNumber
    owner: Owner

    @property
    def kind(self) -> Kind:
        """What may run it."""

    @property
    def priority(self) -> int:
        """The highest goes first."""


J = TypeVar("J", bound=Job)


@dataclass(slots=True, eq=False)
class Share(Generic[J]):
    """One owner's jobs of one priority in one line."""

    owner: Owner
    priority: int
    birth: int
    jobs: Line[J] = field(default_factory=Line)
    in_line: bool = False

    @property
    def waits(self) -> bool:
        """Say whether one of the jobs has something to lease."""
        return self.jobs.front() is not None

    @property
    def turn(self) -> Turn:
        """Higher priority, then who used less, then who got less, then who came first."""
        return (-self.priority, self.owner.usage, self.owner.grants, self.birth)


class _OneKind(Generic[J]):
    def __init__(self) -> None:
        self.line: Line[Share[J]] = Line()
        self._shares: dict[tuple[int, int], Share[J]] = {}
        self._births = 0
        self._trim_at = _SPARE

    def share(self, job: J) -> Share[J]:
        key = (job.priority, id(job.owner))
        share = self._shares.get(key)
        if share is None or share.owner is not job.owner:
            self._births += 1
            share = self._shares[key] = Share(job.owner, job.priority, self._births)
            if len(self._shares) > self._trim_at:
                self._shares = {key: each for key, each in self._shares.items() if each.in_line or each is share}
                self._trim_at = 2 * len(self._shares) + _SPARE
        return share


class Waiting(Generic[J]):
    """The jobs that have something to lease."""

    def __init__(self) -> None:
        self.jobs: dict[JobNumber, J] = {}
        self._kinds: dict[Kind, _OneKind[J]] = {}

    def settle(self, job: J) -> None:
        """Let a job join or leave, as it has something to lease or not."""
        if not job.waits:
            self.jobs.pop(job.number, None)
            return
        self.jobs[job.number] = job
        if not job.in_line:
            self._join(job)

    def remove(self, job: J) -> None:
        """Take out a job that is forgotten, or before its kind changes."""
        self.jobs.pop(job.number, None)
        if job.in_line:
            self._kinds[job.kind].share(job).jobs.remove(job)

    def step_aside(self, job: J) -> None:
        """Take the next job out of its line, until it settles again."""
        self._kinds[job.kind].share(job).jobs.step_aside()

    def kinds(self) -> Iterator[Kind]:
        """Yield what jobs wait for."""
        for kind, each in list(self._kinds.items()):
            if each.line.front() is not None:
                yield kind
            elif len(self._kinds) > _KINDS_KEPT:
                del self._kinds[kind]

    def next_of(self, kinds: Iterable[Kind]) -> J | None:
        """Return the job whose turn it is among these kinds; None if none waits."""
        best: tuple[Turn, J] | None = None
        for kind in kinds:
            share = self._kinds[kind].line.front()
            job = share.jobs.front() if share else None
            if share and job:
                # Not the share's birth: one owner's jobs share by their own turns, of whatever kind.
                turn = (*share.turn[:3], *job.turn)
                if best is None or turn < best[0]:
                    best = (turn, job)
        return best[1] if best else None

    def _join(self, job: J) -> None:
        each = self._kinds.get(job.kind)
        if each is None:
            each = self._kinds[job.kind] = _OneKind()
        share = each.share(job)
        share.jobs.join(job)
        each.line.join(share)


class ByCode(Generic[J]):
    """Jobs that one version of their function's code may run, by function and version."""

    def __init__(self) -> None:
        self._jobs: dict[str, dict[str, dict[JobNumber, J]]] = {}

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def add(self, job: J) -> None:
        """Note a job, unless any code will do."""
        function, version, _ = job.kind
        if version:
            self._jobs.setdefault(function, {}).setdefault(version, {})[job.number] = job

    def remove(self, job: J) -> None:
        """Drop a job that has ended, or before its kind changes."""
        function, version, _ = job.kind
        versions = self._jobs.get(function, {})
        jobs = versions.get(version, {})
        jobs.pop(job.number, None)
        if version in versions and not jobs:
            del versions[version]
        if function in self._jobs and not versions:
            del self._jobs[function]

    def newest(self, functions: Collection[str]) -> Iterator[J]:
        """Yield, of each version of these functions, the job that was noted last."""
        for function in self._jobs.keys() & functions:
            for jobs in self._jobs[function].values():
                yield jobs[next(reversed(jobs))]
