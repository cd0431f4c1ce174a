"""The processes of `taskgrid up`: started by command line, watched, and ended in order.

One thread per process waits for its end and one queue carries what happens, signals included, to
the only place that acts on it. Every process dies with this one (`--die-with-parent`). Knows
nothing of the grid but its command lines and the ready file.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from taskgrid.cli.parent import environment_of_children
from taskgrid.cli.terminal import say
from taskgrid.errors import MasterUnreachable, TaskGridError, UsageError

_START_WITHIN: Final = 30.0
_LOOK_EVERY: Final = 0.02
_WAKE_EVERY: Final = 1.0
_TOO_SOON: Final = 5.0
"""Seconds within which a worker's end means that it can't work here at all."""
_MASTER_ENDS_WITHIN: Final = 15.0


class Child(NamedTuple):
    """A process and since when it runs."""

    process: subprocess.Popen[bytes]
    name: str
    since: float


class Ended(NamedTuple):
    """A process came to its end."""

    child: Child
    status: int


class Signalled(NamedTuple):
    """Somebody wants this to end."""

    number: int


Happening = Ended | Signalled
OnReady = Callable[[str, Path, int], None]


class Cluster:
    """A master and workers, from `run` to its return."""

    def __init__(self, *, master: Sequence[str], worker: Sequence[str]) -> None:
        self._master_flags = list(master)
        self._worker_flags = list(worker)
        self._happenings: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self._master: Child | None = None
        self._workers: dict[int, Child] = {}
        self._names = 0

    def run(self, workers: int, on_ready: OnReady) -> int:
        """Serve until a signal, then drain; return the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda got, _frame: self._happenings.put(Signalled(got)))
        try:
            server, key_file = self._start_master()
            self._worker_flags += [f"--server={server}", f"--key-file={key_file}"]
            for _ in range(workers):
                self._start_worker()
            on_ready(server, key_file, workers)
            self._serve()
            return self._drain()
        finally:
            self._kill_all()

    def _start_master(self) -> tuple[str, Path]:
        with tempfile.TemporaryDirectory(prefix="taskgrid-up-") as folder:
            ready = Path(folder) / "ready.json"
            self._master = self._start("master", ["master", f"--ready-file={ready}", *self._master_flags])
            self._await(ready)
            facts = json.loads(ready.read_text())
        return facts["server"], Path(facts["key_file"])

    def _await(self, ready: Path) -> None:
        deadline = time.monotonic() + _START_WITHIN
        while not ready.exists():
            if time.monotonic() > deadline:
                raise MasterUnreachable(f"the master did not serve within {_START_WITHIN:.0f} s")
            try:
                happening = self._happenings.get(timeout=_LOOK_EVERY)
            except queue.Empty:
                continue
            self._refuse(happening)

    def _refuse(self, happening: Happening) -> None:
        if isinstance(happening, Signalled):
            raise KeyboardInterrupt
        raise UsageError(
            f"the master ended with status {happening.status} before it served",
            why="it says so above",
            hint="If another master runs here: taskgrid up --port 0 --journal memory",
        )

    def _start_worker(self) -> None:
        self._names += 1
        name = f"up-{self._names}"
        child = self._start(name, ["worker", f"--name={name}", *self._worker_flags])
        self._workers[child.process.pid] = child

    def _start(self, name: str, arguments: Sequence[str]) -> Child:
        command = [sys.executable, "-m", "taskgrid", *arguments, "--die-with-parent"]
        # A group of its own: the terminal's Ctrl-C reaches `up` alone. Its talk joins ours on stderr.
        process = subprocess.Popen(  # noqa: S603  # our own program with flags made here
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            process_group=0,
            env=environment_of_children(),
        )
        child = Child(process, name, time.monotonic())
        threading.Thread(target=self._wait_for, args=(child,), name=f"wait-{name}", daemon=True).start()
        return child

    def _wait_for(self, child: Child) -> None:
        self._happenings.put(Ended(child, child.process.wait()))

    def _serve(self) -> None:
        while True:
            happening = self._next()
            if isinstance(happening, Signalled):
                say("draining; once more stops what runs")
                return
            self._replace(happening)

    def _replace(self, ended: Ended) -> None:
        if ended.child is self._master:
            raise TaskGridError(
                f"the master ended with status {ended.status}",
                why="what was accepted is in its journal",
                hint="Run `taskgrid up` again",
            )
        del self._workers[ended.child.process.pid]
        if ended.status == UsageError.exit_status or time.monotonic() - ended.child.since < _TOO_SOON:
            raise UsageError(f"a worker ended with status {ended.status} before it could work", why="it says so above")
        say(f"{ended.child.name} ended with status {ended.status}; another takes its place")
        self._start_worker()

    def _next(self) -> Happening:
        """Return what happens next. It wakes now and then: a signal that another thread got is handled only then."""
        while True:
            with suppress(queue.Empty):
                return self._happenings.get(timeout=_WAKE_EVERY)

    def _drain(self) -> int:
        self._signal_workers(signal.SIGTERM)
        while self._workers:
            happening = self._next()
            if isinstance(happening, Signalled):
                self._signal_workers(signal.SIGTERM)
            else:
                self._workers.pop(happening.child.process.pid, None)
        return self._end_master()

    def _end_master(self) -> int:
        if self._master is None:
            return 0
        self._master.process.terminate()
        try:
            return self._master.process.wait(_MASTER_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            say("the master did not end; it is killed, its journal is safe")
            return 1

    def _signal_workers(self, number: signal.Signals) -> None:
        for child in self._workers.values():
            child.process.send_signal(number)

    def _kill_all(self) -> None:
        children = [*self._workers.values(), *([self._master] if self._master else [])]
        for child in children:
            if child.process.poll() is None:
                child.process.kill()
        for child in children:
            child.process.wait()
