"""Did two workers ever run the same *alone* task at the same time?

A run counts while its host runs: not while that is suspended, and not in the moment in which its
agent, back from that, has to look at its tasks first. A rollback voids leases that the disk does not
know of any more: what runs under one, then or later, has nothing to do with what is leased since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from taskgrid.model import Token

from .loop import Event
from .worker import CATCH_UP

_INSTANT = 1e-3
LeaseOf = tuple[int, int, Token]
"""Job, task, and the token under which that was leased."""


@dataclass
class Execution:
    """One run of a task, as the stretches of time in which it really ran."""

    worker: str
    lease: LeaseOf
    stretches: list[tuple[float, float]] = field(default_factory=list)
    since: float | None = None


class Alone:
    """Reads the workers' side of a history."""

    def __init__(self, find: Callable[[str], None]) -> None:
        self._find = find
        self._branch = 0
        self._good: dict[LeaseOf, range] = {}
        self._all: dict[tuple[int, int], list[Execution]] = {}
        self._running: dict[tuple[Any, ...], Execution] = {}

    def grant(self, job: int, index: int, token: Token) -> None:
        """Hear of a lease."""
        self._good.setdefault((job, index, token), range(self._branch, self._branch + 1))

    def turn(self, stands: Callable[[int, int, Token], bool]) -> None:
        """Hear of a rollback; `stands` says which leases the disk still knows of."""
        self._branch += 1
        for lease, branches in self._good.items():
            if branches.stop == self._branch and stands(*lease):
                self._good[lease] = range(branches.start, self._branch + 1)

    def read(self, event: Event) -> None:
        """Read one line."""
        at, kind, *facts = event
        match kind:
            case "began":
                self._began(at, facts)
            case "ended":
                name, job, index, token, _ = facts
                self._stop(at, self._running.pop((name, job, index, token), None))
            case "pause" | "crash":
                for key in [key for key in self._running if key[0] == facts[0]]:
                    self._stop(at, self._running[key])
                    if kind == "crash":
                        del self._running[key]
            case "resume":
                for key, execution in self._running.items():
                    if key[0] == facts[0]:
                        execution.since = at + CATCH_UP

    def _began(self, at: float, facts: list[Any]) -> None:
        name, job, index, token, alone = facts
        if alone:
            execution = Execution(name, (job, index, token), since=at)
            self._running[name, job, index, token] = execution
            self._all.setdefault((job, index), []).append(execution)

    def _stop(self, at: float, execution: Execution | None) -> None:
        if execution is not None and execution.since is not None:
            execution.stretches.append((execution.since, at))
            execution.since = None

    def finish(self) -> None:
        """Compare all runs of each task."""
        for (job, index), executions in self._all.items():
            for one, other in combinations(executions, 2):
                if not self._were_good_at_once(one.lease, other.lease):
                    continue
                for begin, end in one.stretches:
                    for low, high in other.stretches:
                        if min(end, high) - max(begin, low) > _INSTANT:
                            self._find(
                                f"alone task {job}.{index} ran on {one.worker} and {other.worker}"
                                f" from {max(begin, low):.3f} to {min(end, high):.3f}"
                            )

    def _were_good_at_once(self, one: LeaseOf, other: LeaseOf) -> bool:
        """Say whether there was no rollback between the end of one and the beginning of the other."""
        mine, theirs = self._good[one], self._good[other]
        return mine.start < theirs.stop and theirs.start < mine.stop
