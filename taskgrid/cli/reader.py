"""Reading a job's outcomes and payloads as lines, a batch at a time, and where lines are written.

Nothing is decoded here: a value's line is JSON as its worker wrote it. By index, an outcome is
given once, even after the master lost its last moments; by arrival, a task that was retried comes
again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from taskgrid.cli.outcomes import Outcomes

if TYPE_CHECKING:
    from taskgrid.client.link import Link
    from taskgrid.model import JobId, JobNumber, Run
    from taskgrid.transport.protocol import OutcomeRun


class Reader:
    """Reads one job."""

    def __init__(self, link: Link, job: JobId, number: JobNumber) -> None:
        self._link = link
        self._job = job
        self._number = number

    def in_order(self, run: Run | None = None) -> Iterator[Outcomes]:
        """Yield outcomes by index, of the tasks of `run` or of all, waiting for each."""
        from taskgrid.client.results import replies
        from taskgrid.transport.protocol import Cursor, Order

        expected, stop = run or (0, None)
        for reply, parts in replies(self._link, self._job, Order.INDEX, cursor=Cursor(position=expected)):
            for row, part in zip(reply.rows, parts, strict=True):
                found = within(self._outcomes(row, part), expected, stop)
                if found.stop > found.first:
                    expected = found.stop
                    yield found
            if stop is not None and expected >= stop:
                return

    def so_far(self) -> Iterator[Outcomes]:
        """Yield outcomes as they came, and end where none is left for now."""
        from taskgrid.client.results import Deadline, replies
        from taskgrid.transport.protocol import Order

        for reply, parts in replies(self._link, self._job, Order.ARRIVAL, deadline=Deadline(0.0)):
            if not reply.rows:
                return
            for row, part in zip(reply.rows, parts, strict=True):
                yield self._outcomes(row, part)

    def payloads(self, run: Run) -> list[bytes]:
        """Return the payloads of tasks `run[0]` up to and without `run[1]`."""
        from taskgrid.transport.protocol import PayloadsRequest

        at, stop = run
        lines: list[bytes] = []
        with self._link.results() as proxy:
            while at < stop:
                reply, parts = proxy.payloads(PayloadsRequest(job=self._job, run=(at, stop)))
                lines += parts[0].split(b"\n")
                at = reply.run[1]
        return lines

    def _outcomes(self, row: OutcomeRun, part: bytes) -> Outcomes:
        return Outcomes(self._number, row.first, row.first + row.count, [] if row.cancelled else part.split(b"\n"))


def within(found: Outcomes, start: int, stop: int | None) -> Outcomes:
    """Cut outcomes to the tasks `start` up to and without `stop`."""
    first, last = max(found.first, start), found.stop if stop is None else min(found.stop, stop)
    if first >= last:
        return found._replace(first=first, stop=first, lines=[])
    lines: Sequence[bytes] = found.lines[first - found.first : last - found.first]
    return found._replace(first=first, stop=last, lines=lines)


@contextmanager
def writing(place: Path | None) -> Iterator[BinaryIO]:
    """Open where lines go: stdout, or a file that is replaced once all is written."""
    if place is None:
        yield sys.stdout.buffer
        return
    unfinished = place.with_name(place.name + ".unfinished")
    with unfinished.open("wb") as stream:
        yield stream
    unfinished.replace(place)
