"""Everything is replaced, one after the other, while a job runs: its client sees a pause and nothing else."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from battle import Reader
from conftest import Record
from history import History
from proof import prove
from proof_grid import LEASE, attempts_begun, hire
from proof_tasks import traced_square
from real_programs import Programs, eventually
from scale import in_full_only, scaled
from test_kill_nine import is_square
from test_lost_worker import connected

TASKS = scaled(1_500, 10_000, 40_000)
ROUNDS = scaled(1, 3, 12)


@in_full_only
@pytest.mark.timeout(600)
def test_a_rolling_restart_costs_nobody_anything_but_a_pause(
    programs: Programs, history: History, record_property: Record
) -> None:
    """Workers drain, the master leaves and comes back: every task runs once, and no report is refused."""
    master = programs.start_master(*LEASE)
    workers = [hire(programs, slots=2) for _ in range(2)]
    with programs.grid() as grid:
        eventually(lambda: connected(grid) == 2)
        job = grid.submit_job(traced_square, range(TASKS))
        history.accepted(job.number, TASKS)
        reader = Reader(history, job.number, "caller", job.as_completed)
        for number in range(1, ROUNDS + 1):
            eventually(lambda least=number: reader.count >= least * TASKS // (2 * ROUNDS), 120)
            for place, worker in enumerate(workers):
                workers[place] = hire(programs, slots=2)
                eventually(lambda: connected(grid) == 3)
                assert programs.end(worker) == 0
            history.note("killed", victim="master", pids=[master.pid])
            assert programs.end(master) == 0
            master = programs.start_master(*LEASE)
        reader.end.result(200)
        assert job.view().refused_reports == 0
    assert [programs.end(program) for program in (*workers, master)] == [0, 0, 0]
    attempts = attempts_begun(programs)
    assert len(attempts) == TASKS, "each task ran once"
    proof = prove(programs.journal, job.number, history=history, attempts=attempts, expected=is_square)
    for name, figure in {"tasks": proof.accepted, "lost": proof.lost, "doubled": proof.doubled}.items():
        record_property(name, figure)
    record_property("recovery", longest_pause(history))
    proof.demand()


def longest_pause(history: History) -> float:
    """Return the longest time for which the caller got nothing, in seconds."""
    at = [event["at"] for event in history.events("got")]
    return max((later - earlier for earlier, later in pairwise(at)), default=0.0)


@pytest.mark.timeout(180)
def test_a_second_master_on_a_journal_is_refused_and_harms_nobody(programs: Programs) -> None:
    """It says who has the journal and ends; the first one serves on."""
    first = programs.start_master()
    with programs.grid() as grid:
        own = ["--host=127.0.0.1", "--port=0", f"--journal={programs.journal}", f"--key-file={programs.key_file}"]
        second = programs.run("master", *own)
        assert second.wait(30) not in (0, -9)
        assert "journal" in programs.said()
        assert "another master" in programs.said() or "in use" in programs.said(), programs.said()
        hire(programs)
        job = grid.submit_job("proof_tasks:big", [3])
        assert list(job.results()) == ["xxx"]
    assert programs.end(first) == 0


@in_full_only
@pytest.mark.timeout(180)
def test_a_second_signal_to_a_master_changes_nothing(programs: Programs) -> None:
    """It is on its way out already, and leaves in good order."""
    master = programs.start_master()
    master.terminate()
    time.sleep(0.05)
    master.terminate()
    assert master.wait(20) == 0
    master = programs.start_master()
    assert programs.end(master) == 0
