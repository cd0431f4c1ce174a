"""Typed control calls: what the command line and `Job` ask of a master, one verb each.

Every method is one request and its answer. Nothing here waits, retries or renders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from taskgrid.errors import UnknownJob
from taskgrid.lifecycle import TaskState
from taskgrid.model import Explanation, GridView, JobId, JobView, Run, TaskView, WorkerView
from taskgrid.transport import proxies
from taskgrid.transport.protocol import (
    BackupReply,
    BackupRequest,
    Empty,
    ExplainRequest,
    HealthReply,
    Selector,
    SelectRequest,
    TasksRequest,
    Touched,
)

_WAITING = frozenset({TaskState.QUEUED, TaskState.DELAYED})


class Control:
    """The control verbs of one master."""

    def __init__(self, proxy: proxies.Control) -> None:
        self._proxy = proxy

    def jobs(self, *selectors: Selector, limit: int = 1000) -> tuple[JobView, ...]:
        """Return the jobs selected, in order of number, the newest `limit` at most; without a selector, all."""
        request = SelectRequest(selectors=selectors or (Selector(all=True),), limit=limit)
        return self._proxy.jobs(request)[0].jobs

    def job(self, selector: Selector) -> JobView:
        """Return the one job selected, or raise `UnknownJob`."""
        found = self.jobs(selector, limit=1)
        if not found:
            raise UnknownJob(
                f"no such job: {_describe(selector)}",
                why="it never was, or it was forgotten",
                hint="`taskgrid jobs` lists those the master knows",
            )
        return found[0]

    def tasks(self, job: JobId, runs: Sequence[Run] = (), *, limit: int = 1000) -> tuple[TaskView, ...]:
        """Return tasks of a job as they stand; without `runs`, its failed ones."""
        return self._proxy.tasks(TasksRequest(job=job, runs=tuple(runs), limit=limit))[0].tasks

    def workers(self) -> tuple[WorkerView, ...]:
        """Return connected workers, and those lost within the last hour."""
        return self._proxy.workers(Empty())[0].workers

    def status(self) -> GridView:
        """Return the whole grid on one screen."""
        return self._proxy.status(Empty())[0]

    def health(self) -> HealthReply:
        """Ask whether the master serves."""
        return self._proxy.health(Empty())[0]

    def backup(self, target: str) -> BackupReply:
        """Have the journal copied to a new file on the master's machine; returns when it is whole."""
        return self._proxy.backup(BackupRequest(target=target))[0]

    def explain(self, selector: Selector, index: int | None = None) -> Explanation:
        """Ask why a job, or its task `index`, waits, or how it ended."""
        return self._proxy.explain(ExplainRequest(selector=selector, index=index))[0]

    def cancel(self, *selectors: Selector, dry_run: bool = False) -> tuple[Touched, ...]:
        """Take back what has not ended, also what runs; say what was touched."""
        return self._proxy.cancel(SelectRequest(selectors=selectors, dry_run=dry_run))[0].touched

    def retry(self, *selectors: Selector, dry_run: bool = False) -> tuple[Touched, ...]:
        """Bring failed and cancelled tasks back; say what was touched."""
        return self._proxy.retry(SelectRequest(selectors=selectors, dry_run=dry_run))[0].touched

    def forget(self, *selectors: Selector, dry_run: bool = False) -> tuple[Touched, ...]:
        """Drop jobs that have ended, with their results; say what was touched."""
        return self._proxy.forget(SelectRequest(selectors=selectors, dry_run=dry_run))[0].touched

    def cancel_waiting(self, job: JobId, runs: Sequence[Run]) -> Iterator[int]:
        """Take back those tasks of `runs` that no worker holds; yield which."""
        for part in _pages(runs):
            waiting = [view.index for view in self.tasks(job, part) if view.state in _WAITING]
            if waiting and self._cancel_unleased(job, as_runs(waiting)):
                taken = {view.index for view in self.tasks(job, as_runs(waiting)) if view.state is TaskState.CANCELLED}
                yield from (index for index in waiting if index in taken)

    def cancel_unleased(self, job: JobId, index: int) -> bool:
        """Take back one task if no worker holds it; say whether it was so. The master decides in one step."""
        return self._cancel_unleased(job, ((index, index + 1),)) > 0

    def _cancel_unleased(self, job: JobId, runs: tuple[Run, ...]) -> int:
        request = SelectRequest(selectors=(Selector(job=job, runs=runs),), only_queued=True)
        return sum(each.tasks for each in self._proxy.cancel(request)[0].touched)


def as_runs(indices: Sequence[int]) -> tuple[Run, ...]:
    """Return ascending indices as runs."""
    runs: list[Run] = []
    for index in indices:
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return tuple(runs)


def _pages(runs: Sequence[Run], size: int = 1000) -> list[tuple[Run, ...]]:
    """Cut runs into pages of at most `size` tasks, the most that one `tasks` call answers."""
    pieces = [(at, min(at + size, stop)) for start, stop in runs for at in range(start, stop, size)]
    pages: list[list[Run]] = []
    room = 0
    for start, stop in pieces:
        if stop - start > room:
            pages.append([])
            room = size
        pages[-1].append((start, stop))
        room -= stop - start
    return [tuple(page) for page in pages]


def _describe(selector: Selector) -> str:
    return f"key {selector.key!r}" if selector.key is not None else str(selector.number or selector.job or "last")
