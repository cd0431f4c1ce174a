"""A pool with real children and a real ledger, but no master: the test leases and takes the outcomes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from taskgrid.errors import TaskGridError
from taskgrid.model import Failure, JobNumber, TaskOptions, Token, Verdict, parse_failure
from taskgrid.transport.protocol import Bundle, Judged
from taskgrid.worker.frames import Setup
from taskgrid.worker.held import Ended, Work
from taskgrid.worker.ledger import Ledger
from taskgrid.worker.pool import Pool
from taskgrid.worker.positions import indices
from taskgrid.worker.slot import Terms

FUNCTIONS = """
import os, signal, stat, subprocess, sys, threading, time
from pathlib import Path
from taskgrid import current_task

def double(n: int) -> int:
    return n * 2

def pid_of(n: int) -> int:
    return os.getpid()

def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds

def note(path: str, name: str, seconds: float) -> str:
    with open(path, "a") as notes:
        notes.write(name + "\\n")
    time.sleep(seconds)
    return name

def hold(path: str, name: str, gate: str) -> str:
    with open(path, "a") as notes:
        notes.write(name + "\\n")
    while not os.path.exists(gate):
        time.sleep(0.005)
    return name

def fail_at(n: int, bad: int) -> int:
    if n == bad:
        raise KeyError("no such thing")
    return n

def die(n: int, how: str) -> int:
    print("about to", how, n)
    if how == "exit":
        os._exit(7)
    if how == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    return n

def spoil(n: int, how: str) -> int:
    if how == "close":
        os.closerange(3, 4096)
    if how == "write":
        for descriptor in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    os.write(descriptor, b"hello? is anybody there?")
            except OSError:
                pass
    if how == "fork":
        os.fork()
    return n

def hang_with_child(path: str) -> int:
    started = subprocess.Popen(["sleep", "60"], start_new_session=True)
    Path(path).write_text(str(started.pid))
    time.sleep(60)
    return 0

def eat(megabytes: int) -> int:
    eaten = [bytearray(1 << 20) for _ in range(megabytes)]
    time.sleep(30)
    return len(eaten)

def leak_later(megabytes: int) -> int:
    def leak() -> None:
        time.sleep(0.1)
        left = b"x" * (megabytes << 20)
        time.sleep(30)
        del left
    threading.Thread(target=leak, daemon=True).start()
    return os.getpid()

def flood(megabytes: int) -> int:
    for _ in range(megabytes):
        sys.stdout.write("x" * (1 << 20) + "\\n")
    return megabytes

def large(size: int) -> str:
    return "x" * size

def address() -> str:
    task = current_task()
    return f"{task.address} attempt {task.attempt}"
"""


class Bench:
    """One pool under test; a context manager that ends it."""

    def __init__(self, folder: Path, slots: int = 1, *, max_bytes: int = 1 << 28, **terms: Any) -> None:
        (folder / "bench_tasks.py").write_text(FUNCTIONS)
        import os

        self.owing = threading.Event()
        self._came = threading.Event()
        self.ledger = Ledger(max_bytes, self.owing, ended=self._came.set)
        self.ended = threading.Event()
        self.trouble: TaskGridError | None = None
        modules = terms.pop("modules", ("bench_tasks",))
        setup = Setup(
            modules=modules,
            paths=(folder,),
            any_function=terms.pop("any_function", False),
            worker="bench",
            max_result_bytes=1 << 20,
            parent=os.getpid(),
        )
        self.terms = Terms("bench", terms.pop("memory_limit", None), terms.pop("max_tasks", None))
        self.pool = Pool(slots, self.terms, setup, self.ledger, self._on_end)
        self.outcomes: dict[tuple[int, int], bytes] = {}
        self.taken: list[Ended] = []
        self._counter = 0
        self._first_lease: dict[int, int] = {}

    def _on_end(self, trouble: TaskGridError | None) -> None:
        self.trouble = trouble
        self.ended.set()

    def __enter__(self) -> Self:
        self.pool.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.stop()
        assert self.pool.join(30.0), "the pool did not end"
        self.pool.close()

    def wait_ready(self, slots: int = 1) -> None:
        """Wait until so many slots have a child that is ready."""
        until = time.monotonic() + 40
        while self.pool.demand.wait(1.0, unless=self.ended)[1] < slots:
            assert time.monotonic() < until, "no child became ready"

    def pids(self) -> list[int]:
        """Return the children's process ids."""
        return [slot.child.pid for slot in self.pool._slots if slot.child is not None]

    def cut_all(self) -> None:
        """Take everything back that the children have not begun, and run it again."""
        now = time.monotonic()
        for slot in self.pool._slots:
            self.pool._command(lambda slot=slot: slot.is_busy and slot.cut(self.pool.kept, now))  # type: ignore[misc]

    def lease(
        self,
        function: str,
        payloads: Iterable[bytes],
        *,
        first: int = 0,
        ttl: float = 600.0,
        attempts: tuple[tuple[int, int], ...] = (),
        code: str = "",
        **options: Any,
    ) -> Bundle:
        """Lease one bundle to the pool, as job 1."""
        lines = list(payloads)
        bundle = Bundle(
            token=self._next_token(),
            job=JobNumber(1),
            function=f"bench_tasks:{function}",
            runs=((first, first + len(lines)),),
            options=TaskOptions(**options),
            attempts=attempts,
            code=code,
        )
        self._grant(bundle, b"\n".join(lines), ttl)
        return bundle

    def _next_token(self) -> Token:
        self._counter += 1
        return Token(1, self._counter, "salt")

    def _grant(self, bundle: Bundle, payload: bytes, ttl: float) -> None:
        works = self.ledger.enter([bundle], (payload,), time.monotonic(), ttl)
        self.pool.accept(works)

    def collect(self, count: int, within: float = 40.0) -> dict[int, bytes]:
        """Take outcomes as a master would until there are so many; return all lines so far by index.

        What is given back meanwhile is leased again, as a master would: on a busy machine a short task
        may stand still for so long that it is taken for a long one.
        """
        until = time.monotonic() + within
        while len(self.outcomes) < count:
            assert time.monotonic() < until, f"{len(self.outcomes)} of {count} outcomes came"
            if self.owing.is_set():
                self._lease_again()
            batch = self.next_batch(0.1)
            self.taken += batch
            for ended in batch:
                counter = ended.lease.token.counter
                for index, line in zip(indices(ended.runs), ended.lines.split(b"\n"), strict=True):
                    key = (self._first_lease.get(counter, counter), index)
                    assert key not in self.outcomes, f"task {index} ended twice"
                    self.outcomes[key] = line
            self.ledger.settle(batch, [(Judged(runs=ended.runs, verdict=Verdict.TAKEN),) for ended in batch])
        return {index: line for (_, index), line in self.outcomes.items()}

    def next_batch(self, within: float) -> list[Ended]:
        """Take outcomes, waiting for the first."""
        self._came.wait(within)
        self._came.clear()
        return self.ledger.next_batch()

    def _lease_again(self) -> None:
        for work in self._take_back():
            lease, token = work.lease, self._next_token()
            before = lease.token.counter
            self._first_lease[token.counter] = self._first_lease.get(before, before)
            bundle = Bundle(
                token=token,
                job=lease.job,
                function=lease.function,
                runs=work.runs,
                options=lease.options,
                attempts=tuple(lease.attempts.items()),
                code=lease.code,
            )
            self._grant(bundle, work.payload, 600.0)

    def _take_back(self) -> list[Work]:
        self.owing.clear()
        works = self.ledger.next_release()
        self.ledger.released(works)
        return works

    def released(self, count: int, within: float = 40.0) -> set[int]:
        """Wait until so many tasks are given back, take them as a master would, and return their indices."""
        until = time.monotonic() + within
        found: set[int] = set()
        while len(found) < count:
            assert self.owing.wait(max(0.0, until - time.monotonic())), f"only {sorted(found)} were given back"
            for work in self._take_back():
                assert found.isdisjoint(indices(work.runs)), "given back twice"
                found.update(indices(work.runs))
        return found


def failure(line: bytes) -> Failure:
    """Return the failure in a line that must be one."""
    assert line.startswith(b"!"), line
    return parse_failure(line)
