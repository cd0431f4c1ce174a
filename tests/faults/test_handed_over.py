"""A task that changes hands while everything falls: who may end it is decided by its floor alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from typing import Any

import pytest
from battle import Reader
from conftest import Record
from history import History
from proof import prove
from proof_grid import SHORT_LEASE, attempts_begun, hire
from proof_tasks import kills_everybody, own_attempt, own_turn
from real_programs import Programs, children_of, eventually
from scale import in_full_only
from test_stopped_worker import holds_nothing

from taskgrid.errors import TaskFailed


def is_own(_: int, value: Any, attempts: set[tuple[int, int]]) -> bool:
    """Say whether a value names one of the task's attempts."""
    return tuple(value) in attempts


@pytest.mark.timeout(180)
def test_a_task_that_went_from_one_worker_to_another_before_the_master_died_ends_once(
    programs: Programs, history: History, record_property: Record
) -> None:
    """The first holder reports to the next master first, and is refused: the second one's token is the floor."""
    turns = programs.folder / "turns"
    turns.mkdir()
    master = programs.start_master(*SHORT_LEASE)
    first = hire(programs)
    with programs.grid() as grid:
        job = grid.submit_job(own_turn, [str(turns)])
        history.accepted(job.number, 1)
        eventually(lambda: len(attempts_begun(programs)) == 1)
        os.kill(first.pid, signal.SIGSTOP)
        second = hire(programs)
        eventually(lambda: len(attempts_begun(programs)) == 2, what="the second worker has the task")
        programs.kill(master)
        (turns / "1").touch()
        os.kill(first.pid, signal.SIGCONT)
        master = (
            programs.start_master()
        )  # with long leases, so that the second one is back before its task is given away
        eventually(lambda: holds_nothing(grid, first.pid), what="the first worker lets go of the task")
        assert not job.view().complete, "the first worker's outcome counted"
        (turns / "2").touch()
        (value,) = job.results()
        history.got(job.number, "caller", [(0, value)])
        assert value[0] == 2
    assert [programs.end(program) for program in (first, second, master)] == [0, 0, 0]
    proof = prove(programs.journal, job.number, history=history, attempts=attempts_begun(programs), expected=is_own)
    for name in ("lost", "doubled"):
        record_property(name, getattr(proof, name))
    record_property("tasks", proof.accepted)
    proof.demand()


@in_full_only
@pytest.mark.timeout(240)
def test_a_task_that_kills_its_agent_and_the_master_each_time_reaches_its_limit(
    programs: Programs, history: History, record_property: Record
) -> None:
    """The count of its victims survives them: it fails as `lost-worker`, and what is submitted then runs."""
    master_pid = programs.folder / "master.pid"
    rounds = 0
    program = programs.start_master(*SHORT_LEASE)
    master_pid.write_text(str(program.pid))
    with programs.grid() as grid:
        job = grid.submit_job(kills_everybody, [str(master_pid)])
        worker = hire(programs)
        waiting = threading.Thread(target=job.wait, args=(200,))
        waiting.start()
        while waiting.is_alive():
            if program.poll() is not None:
                worker.wait(10)
                rounds += 1
                program = programs.start_master(*SHORT_LEASE, wait=False)
                master_pid.write_text(str(program.pid))
                worker = hire(programs)
            time.sleep(0.05)
        assert job.view().complete, f"it lives after {rounds} rounds"
        (outcome,) = job.results(failures="yield")
        assert len(list(grid.submit_job(kills_everybody, [""] * 3).results())) == 3
    assert isinstance(outcome, TaskFailed)
    assert "lost" in str(outcome)
    assert 5 <= rounds <= 8, "five times alone, and at most three times before anybody could know that it was"
    record_property("tasks", 4)


@in_full_only
@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace to make a write fail")
@pytest.mark.timeout(180)
def test_outcomes_whose_commit_failed_were_seen_by_nobody(programs: Programs, history: History) -> None:
    """The disk refuses the report's commit: the master ends, and what is seen later is another attempt's value."""
    go = programs.folder / "go"
    master = programs.start_master(*SHORT_LEASE)
    worker = hire(programs)
    with programs.grid() as grid:
        job = grid.submit_job(own_attempt, [str(go)])
        reader = Reader(history, job.number, "caller", job.as_completed)
        eventually(lambda: len(attempts_begun(programs)) == 1)
        with refusing_writes(programs, master.pid):
            go.touch()
            assert master.wait(30) not in (0, -signal.SIGKILL), programs.said()
        fallen = children_of(worker.pid)
        programs.kill(worker)
        eventually(lambda: not set(fallen) & programs.alive().keys())
        time.sleep(0.2)
        assert reader.count == 0, "a value was seen that no journal has"
        master, worker = programs.start_master(*SHORT_LEASE), hire(programs)
        reader.end.result(40)
    assert [programs.end(program) for program in (worker, master)] == [0, 0]
    attempts = attempts_begun(programs)
    assert len(attempts) == 2
    prove(programs.journal, job.number, history=history, attempts=attempts, expected=is_own).demand()
    seen = [each for event in history.events("got") for each in event["values"]]
    assert [value[1] for _, value in seen] == [attempts[1].pid]


class refusing_writes:  # noqa: N801  # reads as the sentence it makes
    """While inside, every write of a process to its journal fails with EIO."""

    def __init__(self, programs: Programs, pid: int) -> None:
        self._log = programs.folder / "strace.txt"
        words = ["strace", "-f", "-p", str(pid), "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EIO"]
        self._words = [*words, "-o", str(self._log)]

    def __enter__(self) -> None:
        self._strace = subprocess.Popen(self._words, stderr=subprocess.PIPE, text=True)
        assert self._strace.stderr is not None
        said = self._strace.stderr.readline()
        if "attached" not in said:
            self._strace.wait(10)
            pytest.skip(f"strace may not trace here: {said.strip()}")

    def __exit__(self, *_: object) -> None:
        self._strace.terminate()
        self._strace.wait(10)
        assert self._strace.stderr is not None
        self._strace.stderr.close()
