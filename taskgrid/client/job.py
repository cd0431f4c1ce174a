"""A job as its submitter sees it, or whoever takes it up again, later or elsewhere.

It holds names and a way to decode values; everything else is asked of the master when it is asked
for. Iterations keep a cursor and one batch, never the job.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from taskgrid.client.control import Control
from taskgrid.client.link import Link
from taskgrid.client.outcomes import Codec
from taskgrid.client.reduced import Reduced, Reduction
from taskgrid.client.results import Deadline, Source, as_they_come, failed, in_order, until_complete
from taskgrid.clock import SystemClock
from taskgrid.errors import UsageError
from taskgrid.lifecycle import ENDED, TaskState
from taskgrid.model import Explanation, JobId, JobNumber, JobView, Run
from taskgrid.transport.protocol import PayloadsRequest, Selector

_CLOCK = SystemClock()

Failures = Literal["raise", "yield"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is."""

    counts: dict[TaskState, int]
    """Tasks by state; states without a task are left out."""
    total: int
    """Tasks accepted so far; all there will be once `sealed`."""
    ended: int
    sealed: bool
    complete: bool
    rate: float | None
    """Tasks that ended per second since the last call; None at the first."""

    @property
    def share(self) -> float:
        """The share of the accepted tasks that ended, from 0 to 1."""
        return self.ended / self.total if self.total else float(self.complete)


class Job:
    """One submission: `Grid.submit_job` makes it, `Grid.job` takes it up again."""

    def __init__(  # a job is all of these
        self,
        link: Link,
        id: JobId,  # noqa: A002  # the field's own name
        number: JobNumber,
        codec: Codec,
        *,
        name: str = "",
        reduction: Reduction | None = None,
    ) -> None:
        self.id = id
        """128 bits as 32 hex digits: its name on the wire."""
        self.number = number
        """Its name for people: `job 17`."""
        self.name = name
        self._link = link
        self._codec = codec
        self._reduction = reduction
        self._last: tuple[float, int] | None = None

    def __repr__(self) -> str:
        return f"<Job {self.number} {self.name}>"

    def results(self, failures: Failures = "raise") -> Iterator[Any]:
        """Yield the tasks' values in order, waiting for each.

        A task that failed raises there and ends the iteration (a cancelled one raises CancelledError);
        with `failures="yield"` the exception is given in the value's place. Other tasks are not
        stopped either way. Raises MasterUnreachable when the master stays away.
        """
        self._refuse_if_merged()
        return in_order(self._source(), raising=_raising(failures))

    def as_completed(self, failures: Failures = "raise") -> Iterator[tuple[int, Any]]:
        """Yield (index, value) as tasks end; failures as in `results`. A task that was retried comes again."""
        self._refuse_if_merged()
        return as_they_come(self._source(), raising=_raising(failures))

    def result(self, timeout: float | None = None) -> Any:
        """Return all values merged, as `reduce` says, once every task has ended; None if there are none.

        Raises the error of a task that failed as soon as it is known (CancelledError for a cancelled one), and
        TimeoutError after `timeout` seconds; either way it can be asked again, also after a `retry`.
        UsageError for a job without a reduction.
        """
        return self._reduced.result(Deadline(timeout))

    def partial(self) -> Any:
        """Return the values that are there now, merged in order of index; None before the first."""
        return self._reduced.partial()

    @cached_property
    def _reduced(self) -> Reduced:
        if self._reduction is None:
            raise UsageError(
                f"job {self.number} has no reduction, so it has no one result",
                hint="Submit it with `reduce`, or read its results().",
            )
        return self._reduction.of(self._source())

    def _refuse_if_merged(self) -> None:
        if self._reduction is not None:
            raise UsageError(
                f"job {self.number} merges its values, so its tasks have no results of their own",
                hint="Ask for result() or partial().",
            )

    def failures(self) -> Iterator[tuple[int, BaseException]]:
        """Yield (index, exception) of each failed task in order, waiting for the job's end; values are not decoded."""
        return failed(self._source())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every task has ended, at most `timeout` seconds; say whether it is so."""
        return until_complete(self._link, self.id, Deadline(timeout))

    def view(self) -> JobView:
        """Return the job as it stands."""
        return self._control().job(self._selector())

    def progress(self) -> Progress:
        """Return how far the job is."""
        view, now = self.view(), _CLOCK.now()
        ended = sum(view.counts.get(state, 0) for state in ENDED)
        last, self._last = self._last, (now, ended)
        rate = (ended - last[1]) / (now - last[0]) if last and now > last[0] else None
        return Progress(view.counts, view.total, ended, view.sealed, view.complete, rate)

    def cancel(self) -> int:
        """Take back every task that has not ended, also those that run; return how many."""
        return sum(each.tasks for each in self._control().cancel(self._selector()))

    def retry(self) -> int:
        """Bring failed and cancelled tasks back, with fresh attempts; return how many."""
        return sum(each.tasks for each in self._control().retry(self._selector()))

    def explain(self, index: int | None = None) -> Explanation:
        """Return why the job, or its task `index`, waits, or how it ended."""
        return self._control().explain(self._selector(), index)

    def payloads(self, run: Run) -> Iterator[bytes]:
        """Yield the payloads of tasks `run[0]` up to and without `run[1]`, a line of JSON each."""
        at, stop = run
        with self._link.results() as proxy:
            while at < stop:
                reply, parts = proxy.payloads(PayloadsRequest(job=self.id, run=(at, stop)))
                if reply.run[1] <= at:
                    return
                at = reply.run[1]
                yield from parts[0].split(b"\n")

    def _control(self) -> Control:
        return Control(self._link.control)

    def _selector(self) -> Selector:
        return Selector(job=self.id)

    def _source(self) -> Source:
        return Source(self._link, self.id, self.number, self._codec)


def _raising(failures: Failures) -> bool:
    if failures not in ("raise", "yield"):
        raise ValueError(f'failures is "raise" or "yield", not {failures!r}')
    return failures == "raise"
