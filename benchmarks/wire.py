"""A client and a worker that speak the protocol itself, with ready-made payloads and outcomes.

They cost next to nothing per task, so that what is measured is the master: its memory, its restart,
its answer to a thousand hosts. Only models and verbs of `transport/protocol.py` are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from taskgrid.model import Cause, JobId, JobSpec, TaskOptions, WorkerId, new_id
from taskgrid.transport.manager import GridManager
from taskgrid.transport.protocol import (
    Bundle,
    Cursor,
    EnlistRequest,
    ExtendRequest,
    FailedAttempt,
    FetchRequest,
    LeaseRequest,
    Offer,
    Order,
    Report,
    ReportRequest,
    SubmitRequest,
)

FUNCTION = "bench_tasks:same"
CHUNK = 2000
_FAILURE = b'!{"cause":"error","type":"builtins.OSError","message":"no such host"}'


class Submitter:
    """One job's client."""

    def __init__(self, manager: GridManager, *, payload: bytes = b"[1234567]", **options: object) -> None:
        self.job = JobId(new_id())
        self.sent = 0
        self.fetched = 0
        self._spec = JobSpec(id=self.job, function=FUNCTION, options=TaskOptions.model_validate(options))
        self._tasks = manager.get_task_queue()
        self._results = manager.get_result_queue()
        self._payload = payload
        self._ordinal = 0
        self._cursor = Cursor()

    def submit(self, count: int, *, chunk: int = CHUNK, seal: bool = False) -> None:
        """Add that many tasks, in chunks."""
        for left in range(count, 0, -chunk):
            self._send(min(chunk, left), seal=seal and left <= chunk)

    def _send(self, count: int, *, seal: bool) -> None:
        spec = self._spec if self._ordinal == 0 else None
        request = SubmitRequest(job=self.job, ordinal=self._ordinal, count=count, spec=spec, seal=seal)
        self._tasks.submit(request, (b"\n".join([self._payload] * count),))
        self._ordinal += 1
        self.sent += count

    def fetch(self, wait: float = 1.0) -> None:
        """Fetch the next outcomes, and count them."""
        request = FetchRequest(job=self.job, order=Order.ARRIVAL, cursor=self._cursor, wait=wait)
        reply, _ = self._results.fetch(request)
        self._cursor = reply.cursor
        self.fetched += sum(row.count for row in reply.rows)


class Host:
    """A worker that runs nothing, and answers with the outcome it is told to."""

    def __init__(self, manager: GridManager, name: str = "bench", slots: int = 1) -> None:
        self.id = WorkerId(new_id())
        self._name = name
        self._slots = slots
        self._manager = manager
        self._tasks = manager.get_task_queue()
        self._results = manager.get_result_queue()
        self._beats = manager.get_task_queue()

    def enlist(self) -> None:
        """Say who it is."""
        control = self._manager.get_control()
        request = EnlistRequest(
            worker=self.id,
            name=self._name,
            host=self._name,
            pid=1,
            slots=self._slots,
            version="",
            python="",
            offers=(Offer(function=FUNCTION),),
        )
        control.enlist(request)
        self.beat()
        control.close()

    def beat(self) -> bool:
        """Say that it is alive; say whether the master knows it."""
        return self._beats.extend(ExtendRequest(worker=self.id))[0].known

    def lease(self, bundles: int = 1, wait: float = 20.0) -> tuple[Bundle, ...]:
        """Take some bundles; enlist first where the master does not know this worker."""
        while True:
            request = LeaseRequest(worker=self.id, nonce=new_id(), bundles=bundles, wait=wait)
            reply, _ = self._tasks.lease(request)
            if reply.known:
                return reply.bundles
            self.enlist()

    def succeed(self, bundles: tuple[Bundle, ...], *, bucket: int = 0) -> int:
        """Report that all went well, each task in 2**bucket microseconds; return how many."""
        reports = [_report(bundle, durations=((bucket, bundle.count),)) for bundle in bundles]
        self._report(bundles, reports, b"1234567")
        return sum(bundle.count for bundle in bundles)

    def fail(self, bundles: tuple[Bundle, ...]) -> int:
        """Report that every task raised; return how many."""
        reports = [_report(bundle, failures=tuple(_failures(bundle))) for bundle in bundles]
        self._report(bundles, reports, _FAILURE)
        return sum(bundle.count for bundle in bundles)

    def _report(self, bundles: tuple[Bundle, ...], reports: list[Report], line: bytes) -> None:
        request = ReportRequest(worker=self.id, reports=tuple(reports))
        self._results.report(request, tuple(b"\n".join([line] * bundle.count) for bundle in bundles))


def work_off(host: Host, count: int, *, end: Callable[[tuple[Bundle, ...]], int], bundles: int = 4) -> None:
    """Lease until that many tasks have ended."""
    while count > 0:
        count -= end(host.lease(bundles))


def _report(bundle: Bundle, **facts: object) -> Report:
    return Report.model_validate({"token": bundle.token, "number": 1, "job": bundle.job, "runs": bundle.runs} | facts)


def _failures(bundle: Bundle) -> Iterator[FailedAttempt]:
    for start, stop in bundle.runs:
        for index in range(start, stop):
            yield FailedAttempt(index=index, cause=Cause.ERROR, type="builtins.OSError", summary="no such host")
