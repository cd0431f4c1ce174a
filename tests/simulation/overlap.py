"""Did two workers ever run the same *alone* task at the same time?

A run counts while its host runs: not while that is suspended, and not in the moment in which its
agent, back from that, has to look at its tasks first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from .loop import Event
from .worker import CATCH_UP

_INSTANT = 1e-3


@dataclass
class Execution:
    """One run of a task, as the stretches of time in which it really ran."""

    worker: str
    stretches: list[tuple[float, float]] = field(default_factory=list)
    since: float | None = None


class Alone:
    """Reads the workers' side of a history."""

    def __init__(self, find: Callable[[str], None]) -> None:
        self._find = find
        self._branch = 0
        self._all: dict[tuple[Any, ...], list[Execution]] = {}
        self._running: dict[tuple[Any, ...], Execution] = {}

    def turn(self) -> None:
        """Hear of a rollback: what ran before has nothing to do with what is leased from here on."""
        self._branch += 1

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
            execution = Execution(name, since=at)
            self._running[name, job, index, token] = execution
            self._all.setdefault((self._branch, job, index), []).append(execution)

    def _stop(self, at: float, execution: Execution | None) -> None:
        if execution is not None and execution.since is not None:
            execution.stretches.append((execution.since, at))
            execution.since = None

    def finish(self) -> None:
        """Compare all runs of each task."""
        for (_, job, index), executions in self._all.items():
            for one, other in combinations(executions, 2):
                for begin, end in one.stretches:
                    for low, high in other.stretches:
                        if min(end, high) - max(begin, low) > _INSTANT:
                            self._find(
                                f"alone task {job}.{index} ran on {one.worker} and {other.worker}"
                                f" from {max(begin, low):.3f} to {min(end, high):.3f}"
                            )
