"""Whatever is killed, whenever: every accepted task gets exactly one outcome, the right one.

What is killed and when comes from a seed: each strike waits for some progress of the job and, one
time in three, comes right after the one before, into the recovery from it. The client goes on
reading meanwhile, in both orders. The judgement is made afterwards, from three records that know
nothing of each other: what the attempts wrote to a file, the journal's rows, and what the client got.

`TASKGRID_FAULTS=long` strikes more often, at a larger job.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from proof_grid import LEASE, Attempt, attempts_begun, hire, traced
from proof_tasks import traced_square
from pydantic_core import from_json
from real_programs import Programs, children_of, eventually

from taskgrid.journal.sqlite import SqliteJournal
from taskgrid.model import JobNumber

LONG = os.environ.get("TASKGRID_FAULTS") == "long"
TASKS = 10_000 if LONG else 2_000
SEEDS = range(1, 10) if LONG else range(1, 4)
STRIKES = 6 if LONG else 3
VICTIMS = ("task", "worker", "master")
WORKERS = 2
_SOON = 0.05
BOUND = 240.0 if LONG else 50.0


class Strike(NamedTuple):
    """One blow: at how many outcomes, how many seconds later, at whom."""

    at: int
    later: float
    victim: str

    @property
    def into_recovery(self) -> bool:
        """Say whether it does not wait for the grid to have recovered from the blow before."""
        return self.later >= _SOON


def strikes_of(seed: int, tasks: int) -> Iterator[Strike]:
    """Yield a seed's strikes, spread over the job: at a task process, a worker and the master in turn."""
    chance = random.Random(seed)
    for number in range(STRIKES):
        at = chance.randrange(tasks * 9 // 10)
        yield Strike(at, chance.uniform(0, _SOON), VICTIMS[number % len(VICTIMS)])
        if chance.random() < 1 / 3:
            yield Strike(at, chance.uniform(_SOON, 0.8), chance.choice(VICTIMS))


@dataclass
class Battle:
    """The programs that are struck, and replaced."""

    programs: Programs
    master: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]
    fallen: set[int] = field(default_factory=set)
    """Task processes that were killed, or whose agent was."""
    struck: Counter[str] = field(default_factory=Counter)

    def strike(self, victim: str, chance: random.Random) -> None:
        """Kill one of its kind, and start another in its place."""
        self.struck[victim] += 1
        match victim:
            case "master":
                self.programs.kill(self.master)
                self.master = self.programs.start_master(*LEASE, wait=False)
            case "worker":
                place = chance.randrange(WORKERS)
                self.fallen.update(children_of(self.workers[place].pid))
                self.programs.kill(self.workers[place])
                self.workers[place] = hire(self.programs, slots=2)
            case "task":
                self._strike_task(chance)

    def _strike_task(self, chance: random.Random) -> None:
        running = [pid for worker in self.workers for pid in children_of(worker.pid)]
        if running:
            pid = chance.choice(running)
            self.fallen.add(pid)
            os.kill(pid, signal.SIGKILL)


class Reader:
    """A client's iteration in a thread of its own."""

    def __init__(self, iterate: Callable[[], Iterator[Any]]) -> None:
        self.got: list[Any] = []
        self.end: Future[None] = Future()
        threading.Thread(target=self._read, args=(iterate,), daemon=True).start()

    def _read(self, iterate: Callable[[], Iterator[Any]]) -> None:
        try:
            for each in iterate():
                self.got.append(each)
            self.end.set_result(None)
        except BaseException as error:  # noqa: BLE001  # raised where the test waits for the end
            self.end.set_exception(error)


@pytest.mark.timeout(BOUND * 2)
def test_kill_nine_of_anything_in_any_order_loses_no_task_and_doubles_none(programs: Programs) -> None:
    """Master, workers and task processes die at random points of a job; each task has one outcome, the right one."""
    battle = Battle(programs, traced(programs).start_master(*LEASE), [hire(programs, slots=2) for _ in range(WORKERS)])
    begun = time.monotonic()
    with programs.grid() as grid:
        job = grid.submit_job(traced_square, range(TASKS))
        arrivals = Reader(job.as_completed)
        results = Reader(job.results)
        fight(battle, arrivals)
        for reader in (arrivals, results):
            reader.end.result(begun + BOUND - time.monotonic())
    eventually(lambda: not battle.fallen & programs.alive().keys(), 5, "task processes die with their agent")
    assert all(programs.end(worker) == 0 for worker in battle.workers)
    assert programs.end(battle.master) == 0
    eventually(lambda: not programs.alive(), 5, "no process is left")
    check_client(arrivals.got, results.got)
    history = attempts_begun(programs)
    check_journal(programs.journal, JobNumber(job.number), history, dict(arrivals.got))
    tell(battle, len(history), time.monotonic() - begun)


def fight(battle: Battle, reader: Reader) -> None:
    """Strike as the seeds say, as the reader gets on."""
    chance, got = random.Random(0), 0
    for strike in sorted(strike for seed in SEEDS for strike in strikes_of(seed, TASKS)):
        awaited = strike.at if strike.into_recovery else max(strike.at, got + 1)
        eventually(lambda least=awaited: len(reader.got) >= least or reader.end.done(), BOUND, f"{awaited} outcomes")
        time.sleep(strike.later)
        battle.strike(strike.victim, chance)
        got = len(reader.got)


def check_client(arrivals: list[tuple[int, Any]], results: list[Any]) -> None:
    """Prove that the client got each task once, with the right value, the same in both orders."""
    assert sorted(index for index, _ in arrivals) == list(range(TASKS))
    assert [value[0] for value in results] == [index * index for index in range(TASKS)]
    assert dict(arrivals) == dict(enumerate(results))


def check_journal(path: Path, job: JobNumber, history: list[Attempt], given: dict[int, Any]) -> None:
    """Prove that each task has one outcome, that it is what one of its attempts returned, and what the client got."""
    journal = SqliteJournal(path)
    try:
        rows = journal.read_arrivals(job, 0, 1 << 30)
    finally:
        journal.close()
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
    rows.sort(key=lambda row: row.first)
    assert all(one.first + one.count == other.first for one, other in pairwise(rows)), "once each"
    assert (rows[0].first, rows[-1].first + rows[-1].count) == (0, TASKS)
    begun = {(one.index, one.attempt, one.pid) for one in history}
    for row in rows:
        for index, line in enumerate(row.lines.split(b"\n"), row.first):
            value, attempt, pid = from_json(line)
            assert value == index * index
            assert (index, attempt, pid) in begun
            assert tuple(given[index]) == (value, attempt, pid)


def tell(battle: Battle, runs: int, seconds: float) -> None:
    """Say what was done, for who looks."""
    struck = ", ".join(f"{count} x {victim}" for victim, count in sorted(battle.struck.items()))
    print(f"\nkilled {struck}; {TASKS:,} tasks in {runs:,} attempts, each ended once, in {seconds:.1f} s")


def test_a_master_killed_while_a_client_submits_takes_each_item_once(programs: Programs) -> None:
    """The submission goes on with the next master: no chunk is missing, none is doubled."""
    master = traced(programs).start_master(*LEASE)

    def items() -> Iterator[int]:
        nonlocal master
        for item in range(9_000):
            if item % 2_500 == 2_499:
                programs.kill(master)
                master = programs.start_master(*LEASE, wait=False)
            yield item

    with programs.grid() as grid:
        job = grid.submit_job(traced_square, items())
        assert (job.view().total, job.view().sealed) == (9_000, True)
        payloads = list(job.payloads((0, 9_000)))
    assert payloads == [b"[%d]" % item for item in range(9_000)]
