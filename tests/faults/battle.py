"""A battle: programs that are killed by a seed's schedule, and replaced, while a job goes on.

Each strike waits for some progress of the job and, one time in three, another comes right after it,
into the recovery. Every strike is written into the history with the processes it took. What all
that did to the job is `proof`'s to say.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from history import History
from leaks import Held, back_to, held
from proof_grid import HERE, LEASE, hire, launch
from real_programs import Programs, children_of, eventually

from taskgrid import Grid

VICTIMS = ("task", "worker", "master", "client")
WORKERS = 2
JOB_KEY = "battle"
_SOON = 0.05


class Strike(NamedTuple):
    """One blow: at how many outcomes, how many seconds later, at whom."""

    at: int
    later: float
    victim: str

    @property
    def into_recovery(self) -> bool:
        """Say whether it does not wait for the grid to have recovered from the blow before."""
        return self.later >= _SOON


def strikes_of(seed: int, tasks: int, rounds: int) -> Iterator[Strike]:
    """Yield a seed's strikes, spread over the job: at one of each kind, every round."""
    chance = random.Random(seed)
    for number in range(rounds * len(VICTIMS)):
        at = chance.randrange(tasks * 9 // 10)
        yield Strike(at, chance.uniform(0, _SOON), VICTIMS[number % len(VICTIMS)])
        if chance.random() < 1 / 3:
            yield Strike(at, chance.uniform(_SOON, 0.8), chance.choice(VICTIMS))


@dataclass
class Battle:
    """The programs that are struck, and replaced."""

    programs: Programs
    history: History
    tasks: int
    master: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]
    client: subprocess.Popen[bytes]
    idle: Held
    """What a master holds that nobody speaks to."""
    fallen: set[int] = field(default_factory=set)
    """Task processes that were killed, or whose agent was."""

    @classmethod
    def begin(cls, programs: Programs, history: History, tasks: int) -> Battle:
        """Start everything that can be struck."""
        master = programs.start_master(*LEASE)
        idle = held(master.pid)
        workers = [hire(programs, slots=2) for _ in range(WORKERS)]
        return cls(programs, history, tasks, master, workers, start_client(programs, history, tasks), idle)

    def strike(self, victim: str, chance: random.Random) -> None:
        """Kill one of its kind, and start another in its place."""
        match victim:
            case "master":
                self._kill(victim, self.master, [self.master.pid])
                self.master = self.programs.start_master(*LEASE, wait=False)
            case "worker":
                place = chance.randrange(WORKERS)
                self._kill(victim, self.workers[place], children_of(self.workers[place].pid))
                self.workers[place] = hire(self.programs, slots=2)
            case "client" if self.client.poll() is None:
                self._kill(victim, self.client, [self.client.pid])
                self.client = start_client(self.programs, self.history, self.tasks)
            case "task":
                self._strike_task(chance)

    def _kill(self, victim: str, program: subprocess.Popen[bytes], pids: list[int]) -> None:
        self.fallen.update(pids)
        self.programs.kill(program)
        self.history.killed(victim, pids)

    def _strike_task(self, chance: random.Random) -> None:
        running = [pid for worker in self.workers for pid in children_of(worker.pid)]
        if running:
            pid = chance.choice(running)
            self.fallen.add(pid)
            os.kill(pid, signal.SIGKILL)
            self.history.killed("task", [pid])

    def end(self) -> None:
        """End what is left in good order, and see that nothing of it stays."""
        programs = self.programs
        eventually(lambda: not self.fallen & programs.alive().keys(), what="task processes die with their agent")
        with programs.grid() as grid:  # one that was just started may not hear a signal yet
            eventually(lambda: self._all_there(grid), what="all workers are there")
        ended = [programs.end(worker) for worker in self.workers]
        assert ended == [0] * WORKERS, ended
        back_to(self.idle, self.master.pid)
        assert programs.end(self.master) == 0
        eventually(lambda: not programs.alive(), what="no process is left")

    def _all_there(self, grid: Grid) -> bool:
        return {worker.pid for worker in self.workers} <= {
            each.pid for each in grid.control.workers() if each.connected
        }


def start_client(programs: Programs, history: History, tasks: int) -> subprocess.Popen[bytes]:
    """Start a client that submits, or goes on submitting, and reads."""
    words = [HERE / "proof_client.py", programs.server, programs.key_file, JOB_KEY, tasks, history.path]
    return launch(programs, "client", words)


class Reader:
    """A client's iteration in a thread of its own, which writes down what it gets."""

    def __init__(self, history: History, job: int, name: str, iterate: Callable[[], Iterator[tuple[int, Any]]]) -> None:
        self.count = 0
        self.end: Future[None] = Future()
        self._history, self._job, self._name = history, job, name
        threading.Thread(target=self._read, args=(iterate,), daemon=True).start()

    def _read(self, iterate: Callable[[], Iterator[tuple[int, Any]]]) -> None:
        seen: list[tuple[int, Any]] = []
        noted_at = time.monotonic()
        try:
            for each in iterate():
                seen.append(each)
                self.count += 1
                if time.monotonic() - noted_at > 0.02:
                    self._history.got(self._job, self._name, seen)
                    seen, noted_at = [], time.monotonic()
            self._history.got(self._job, self._name, seen)
            self.end.set_result(None)
        except BaseException as error:  # noqa: BLE001  # raised where the test waits for the end
            self.end.set_exception(error)


def fight(battle: Battle, reader: Reader, strikes: list[Strike], *, bound: float) -> None:
    """Strike as the schedule says, as the reader gets on."""
    chance, got = random.Random(0), 0
    for strike in sorted(strikes):
        awaited = strike.at if strike.into_recovery else max(strike.at, got + 1)
        eventually(lambda least=awaited: reader.count >= least or reader.end.done(), bound, f"{awaited} outcomes")
        time.sleep(strike.later)
        battle.strike(strike.victim, chance)
        got = reader.count
