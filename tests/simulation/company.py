"""Did a task that was to have its worker to itself ever run beside another one there?

Only what the master knows of counts: not a run whose task has ended or was leased to another since,
of which its worker will hear with its next beat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from taskgrid.model import Token

from .loop import Event

Run = tuple[int, int, Token]
"""Job, task, and the lease under which it runs."""


class Company:
    """Reads the workers' side of a history."""

    def __init__(self, find: Callable[[str], None], counts: Callable[[int, int, Token], bool]) -> None:
        """Tell `find` of what should not be; `counts` says whether a run is still the one that the master knows of."""
        self._find = find
        self._counts = counts
        self._isolated: set[Token] = set()
        self._running: dict[str, set[Run]] = {}

    def hear(self, records: Iterable[Any]) -> None:
        """Learn from records which leases are in isolation."""
        self._isolated.update(each.token for each in records if each.kind == "leased" and each.isolated)

    def read(self, event: Event) -> None:
        """Read one line."""
        _, kind, *facts = event
        match kind:
            case "began":
                self._began(*facts[:4])
            case "ended":
                name, *run = facts[:4]
                self._running.get(name, set()).discard((run[0], run[1], run[2]))
            case "crash":
                self._running.pop(facts[0], None)

    def _began(self, name: Any, job: int, index: int, token: Token) -> None:
        running = self._running.setdefault(name, set())
        running.add((job, index, token))
        known = [run for run in running if self._counts(*run)]
        alone = [run for run in known if run[2] in self._isolated]
        if alone and len(known) > 1:
            self._find(f"tasks {sorted(run[:2] for run in known)} run on {name}, and one was to be alone there")
