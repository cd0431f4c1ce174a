"""Networks that break without a word: packets vanish both ways or one way, hosts vanish altogether.

Master, client and a near worker are on one host, the worker that is cut off on another; the hosts
are network namespaces of their own (`network`), so connections are real and off loopback, with TLS.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Record
from history import History
from network import BOTH_WAYS, FAR_ADDRESS, NEAR_ADDRESS, TO_THE_MASTER, TO_THE_WORKER, Cable
from proof import prove
from proof_grid import HERE, SHORT_LEASE, attempts_begun, hire
from proof_tasks import one_heart, own_turn, traced_square
from real_programs import Programs, children_of, eventually
from scale import in_full_only, scaled
from test_kill_nine import is_square
from test_stopped_worker import state_is

from taskgrid import Grid
from taskgrid.lifecycle import TaskState

PORT = 7117
WAYS = {"both ways": BOTH_WAYS, "to the master": TO_THE_MASTER, "to the worker": TO_THE_WORKER}
TRIED = scaled(("to the master",), tuple(WAYS), tuple(WAYS))
CUTS = scaled((3.0,), (5.0, 20.0), (5.0, 20.0, 120.0))


@pytest.fixture
def cable(programs: Programs) -> Iterator[Cable]:
    """Give two hosts; the master's is ours."""
    with Cable() as cable:
        programs.server = f"{NEAR_ADDRESS}:{PORT}"
        yield cable
        programs.close()  # before their namespaces go


def start_master(programs: Programs) -> Any:
    """Start a master that other hosts can reach."""
    return programs.start_master(f"--host={NEAR_ADDRESS}", *SHORT_LEASE)


def hire_far(programs: Programs, cable: Cable, *, slots: int = 1) -> Any:
    """Start a worker on the other host."""
    own = [f"--server={programs.server}", f"--key-file={programs.key_file}", f"--slots={slots}"]
    return programs.run("worker", *own, "--functions=proof_tasks", f"--path={HERE}", prefix=cable.far)


def connected(grid: Grid) -> int:
    """Return how many workers are there."""
    return sum(each.connected for each in grid.control.workers())


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seconds", CUTS)
@pytest.mark.parametrize("way", TRIED)
def test_a_worker_that_is_cut_off_loses_its_task_and_its_late_outcome_is_refused(
    programs: Programs, history: History, cable: Cable, *, way: str, seconds: float, record_property: Record
) -> None:
    """The near worker gets the task when the lease ends; the far one's outcome, first or last, never counts."""
    turns = programs.folder / "turns"
    turns.mkdir()
    master = start_master(programs)
    far = hire_far(programs, cable)
    with programs.grid() as grid:
        job = grid.submit_job(own_turn, [str(turns)])
        eventually(lambda: len(attempts_begun(programs)) == 1)
        near = hire(programs)
        cut_at = time.monotonic()
        cable.cut(WAYS[way])
        history.note("cut", way=way)
        (turns / "1").touch()
        eventually(lambda: len(attempts_begun(programs)) == 2, what="the near worker has the task")
        record_property("recovery", attempts_begun(programs)[1].at - cut_at)
        time.sleep(max(0.0, cut_at + seconds - time.monotonic()))
        cable.mend()
        history.note("mended")
        eventually(lambda: connected(grid) == 2, 90, "the far worker is back")
        assert state_is(job, TaskState.LEASED), "the far worker's outcome counted"
        (turns / "2").touch()
        (value,) = job.results()
        history.got(job.number, "caller", [(0, value)])
        later = list(grid.submit_job(traced_square, range(200)).results())
    assert value[0] == 2
    assert [square for square, *_ in later] == [n * n for n in range(200)]
    assert [programs.end(program) for program in (far, near, master)] == [0, 0, 0]
    proof = prove(
        programs.journal,
        job.number,
        history=history,
        attempts=attempts_begun(programs),
        expected=lambda _, value, attempts: tuple(value) in attempts,
    )
    for name, figure in {"tasks": proof.accepted, "lost": proof.lost, "doubled": proof.doubled}.items():
        record_property(name, figure)
    proof.demand()


@in_full_only
@pytest.mark.timeout(300)
def test_a_network_that_comes_and_goes_loses_no_task(
    programs: Programs, history: History, cable: Cable, record_property: Record
) -> None:
    """Cut after cut, each another way, while a job runs: every task has one outcome, the right one."""
    tasks = scaled(0, 15_000, 60_000)
    master, far, near = start_master(programs), hire_far(programs, cable, slots=2), hire(programs)
    with programs.grid() as grid:
        eventually(lambda: connected(grid) == 2)
        job = grid.submit_job(traced_square, range(tasks))
        history.accepted(job.number, tasks)
        cuts = 0
        while not job.view().complete:
            cable.cut(list(WAYS.values())[cuts % len(WAYS)])
            cuts += 1
            job.wait(2.5)
            cable.mend()
            job.wait(3.0)
        history.got(job.number, "caller", enumerate(job.results()))
    assert [programs.end(program, 90) for program in (far, near, master)] == [0, 0, 0]
    proof = prove(programs.journal, job.number, history=history, attempts=attempts_begun(programs), expected=is_square)
    for name, figure in {"tasks": proof.accepted, "lost": proof.lost, "doubled": proof.doubled}.items():
        record_property(name, figure)
    proof.demand()
    assert cuts > 1


@in_full_only
@pytest.mark.timeout(180)
def test_of_a_function_declared_alone_one_attempt_runs_at_a_time(programs: Programs, cable: Cable) -> None:
    """The worker that is out of touch kills it by itself, before the master gives it to another."""
    hearts, stop = programs.folder / "hearts", programs.folder / "stop"
    programs.environment["PROOF_HISTORY"] = str(programs.folder / "history.txt")
    master = start_master(programs)
    far = hire_far(programs, cable)
    with programs.grid() as grid:
        job = grid.submit_job(one_heart, [(str(hearts), str(stop))], star=True)
        eventually(hearts.exists)
        near = hire(programs)
        cable.cut(BOTH_WAYS)
        eventually(lambda: len(attempts_begun(programs)) == 2, what="the near worker has the task")
        time.sleep(0.3)
        cable.mend()
        stop.touch()
        assert list(job.results()) == [2]
    beats = [line.split() for line in hearts.read_text().splitlines()]
    ended, began = (
        max(float(at) for attempt, at in beats if attempt == "1"),
        min(float(at) for attempt, at in beats if attempt == "2"),
    )
    assert ended < began, "two hearts beat at once"
    assert [programs.end(program) for program in (far, near, master)] == [0, 0, 0]


@in_full_only
@pytest.mark.timeout(200)
def test_a_host_that_vanishes_keeps_nobody_waiting(programs: Programs, history: History, cable: Cable) -> None:
    """Its lease ends and its task runs elsewhere; nothing of it stays in the master."""
    turns = programs.folder / "turns"
    turns.mkdir()
    (turns / "2").touch()
    master = start_master(programs)
    with programs.grid() as grid:
        grid.control.status()
        far = hire_far(programs, cable)
        job = grid.submit_job(own_turn, [str(turns)])
        eventually(lambda: len(attempts_begun(programs)) == 1)
        running = children_of(far.pid)
        near = hire(programs)
        eventually(lambda: connected(grid) == 2)
        assert connections_from_far(master.pid)
        cable.pull()
        programs.kill(far)
        eventually(lambda: not set(running) & programs.alive().keys())
        (value,) = job.results()
        assert value[0] == 2
        assert connected(grid) == 1
        eventually(lambda: not connections_from_far(master.pid), 120, "keepalive ends its connections")
    assert [programs.end(program) for program in (near, master)] == [0, 0]


def connections_from_far(pid: int) -> int:
    """Return how many connections the far host has to this process's host, as proc_net_tcp(5) tells."""
    far = "".join(f"{int(part):02X}" for part in reversed(FAR_ADDRESS.split(".")))
    rows = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return sum(row.split()[2].startswith(far) and row.split()[3] == "01" for row in rows)
