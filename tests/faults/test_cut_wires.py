"""Connections that break at any byte of a submit, a lease or a report: one task each, one result each.

Client and worker are the protocol's own proxies, driven by hand, so that each exchange is known to
the byte; each has a wire of its own to a real master, and one of the wires does one wrong thing. A
wire that says a byte twice has changed a frame's content: the connection ends, and the request is
said again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product

import pytest
from conftest import Record
from history import History
from proof import prove
from real_programs import Programs
from scale import scaled
from wire import DOWN, UP, Deed, Wire

from taskgrid import Grid
from taskgrid.model import JobId, JobNumber, JobSpec, Token, WorkerId, new_id
from taskgrid.transport.keys import read_key
from taskgrid.transport.manager import GridManager
from taskgrid.transport.protocol import (
    Bundle,
    EnlistRequest,
    ExtendRequest,
    LeaseRequest,
    Offer,
    Report,
    ReportRequest,
    SubmitRequest,
)

VERBS = ("submit", "lease", "report")
STRIDE = scaled(61, 5, 1)
EVERY = tuple(product(VERBS, Deed))
CASES = scaled([EVERY], [(case,) for case in EVERY], [(case,) for case in EVERY])
"""Wires that are broken, and how, by test; each test has a master of its own."""
FUNCTION = "somewhere:something"


class Bench:
    """A client and a worker, driven by hand, each call over a wire of its own."""

    def __init__(self, programs: Programs, stack: ExitStack) -> None:
        port = int(programs.server.rpartition(":")[2])
        self.wires = {verb: stack.enter_context(Wire(port)) for verb in VERBS}
        key = read_key(programs.key_file)
        manager = {verb: stack.enter_context(GridManager([self.wires[verb].server], key)) for verb in VERBS}
        self.client, self.worker = manager["submit"].get_task_queue(), manager["lease"].get_task_queue()
        self.reporter = manager["report"].get_result_queue()
        self.me = WorkerId(new_id())
        self.jobs: list[JobNumber] = []
        direct = stack.enter_context(GridManager([programs.server], key))
        direct.get_control().enlist(
            EnlistRequest(
                worker=self.me,
                name="bench",
                host="here",
                pid=1,
                slots=1,
                version="0",
                python="3",
                offers=(Offer(function=FUNCTION),),
            )
        )
        direct.get_task_queue().extend(ExtendRequest(worker=self.me))

    def round(self, value: bytes) -> None:
        """Submit a job of one task, take it, and report its value."""
        identity = JobId(new_id())
        spec = JobSpec(id=identity, function=FUNCTION)
        submit = SubmitRequest(job=identity, ordinal=0, count=1, spec=spec, seal=True)
        reply, _ = self.client.submit(submit, (b"[1]",))
        self.jobs.append(reply.number)
        leased, _ = self.worker.lease(LeaseRequest(worker=self.me, nonce=new_id(), bundles=1, wait=20.0))
        (bundle,) = leased.bundles
        assert (bundle.job, bundle.runs) == (reply.number, ((0, 1),)), "another task than the one there is"
        self._report(bundle, value)

    def _report(self, bundle: Bundle, value: bytes) -> None:
        token: Token = bundle.token
        report = Report(token=token, number=1, job=bundle.job, runs=bundle.runs)
        answer, _ = self.reporter.report(ReportRequest(worker=self.me, reports=(report,)), (value,))
        ((judged,),) = answer.reports
        assert judged.verdict in ("taken", "yours")


@pytest.fixture
def bench(programs: Programs, history: History) -> Iterator[Bench]:
    """Give a client and a worker whose wires are whole, with connections made."""
    programs.start_master("--lease=300s", "--reconnect-grace=60s")
    with ExitStack() as stack:
        made = Bench(programs, stack)
        made.round(b"0")
        yield made


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cases", CASES, ids=lambda cases: "-".join(cases[0]) if len(cases) == 1 else "all")
def test_an_exchange_that_is_broken_at_any_byte_happens_once(
    programs: Programs, history: History, bench: Bench, *, cases: tuple[tuple[str, Deed], ...], record_property: Record
) -> None:
    """Repeating any verb is harmless: the chunk is accepted once, leased once, and its outcome counts once."""
    for verb, deed in cases:
        break_everywhere(bench, verb, deed)
    with programs.grid() as grid:
        check(grid, bench)
    programs.close()
    doubled = lost = 0
    for number, job in enumerate(bench.jobs):
        proof = prove(
            programs.journal, job, history=history, attempts=(), expected=lambda _, value, __, n=number: value == n
        )
        lost, doubled = lost + proof.lost, doubled + proof.doubled
        proof.demand()
    for name, figure in {"tasks": len(bench.jobs), "lost": lost, "doubled": doubled}.items():
        record_property(name, figure)


def break_everywhere(bench: Bench, verb: str, deed: Deed) -> None:
    """Go a round for every byte of the exchange, or for some, with that byte's wire broken."""
    wire = bench.wires[verb]
    wire.arm()
    bench.round(b"%d" % len(bench.jobs))
    lengths = dict(wire.passed)
    for way in (UP, DOWN):
        for offset in range(0, lengths[way], STRIDE):
            wire.arm(way, offset, deed)
            bench.round(b"%d" % len(bench.jobs))
            assert wire.done, f"{lengths[way]} bytes {way}, and none at {offset}"


def check(grid: Grid, bench: Bench) -> None:
    """Prove that there is one job of one task for each round, with its value, as callers see it."""
    assert len(grid.jobs(1000)) == min(1000, len(bench.jobs))
    for number, job in enumerate(bench.jobs):
        taken = grid.job(job)
        assert (taken.view().total, list(taken.results())) == (1, [number])
