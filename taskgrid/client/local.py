"""A private master and its workers, as programs of this machine that live as long as their owner.

They run in a temporary folder of their own, with their own configuration, key and journal, so they
neither see nor touch a grid of this user. They are started by command line:

    taskgrid master --host 127.0.0.1 --port PORT --ready-file FILE --die-with-parent ...
    taskgrid worker --server 127.0.0.1:PORT --slots 1 --die-with-parent ...

All start at once: the key is made and the port reserved before. `--ready-file` is written when the
master serves. With
`--die-with-parent` the kernel ends them when the *thread* that started them ends (prctl(2),
PR_SET_PDEATHSIG), so one thread starts them and stays for as long as they do: a killed owner takes
them along, and an owner's thread that ends does not. TASKGRID_PARENT tells them who that is, should
it be killed before they have asked the kernel.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from taskgrid.clock import SystemClock
from taskgrid.errors import TaskGridError
from taskgrid.functions import main_module_file
from taskgrid.transport.keys import make_key_files

_CLOCK = SystemClock()

_START_WITHIN = 30.0
"""Seconds a master may take to serve; a second is usual."""

_LOOK_EVERY = 0.01
"""Seconds between two looks for the ready file."""

_INSISTENCE = ((signal.SIGTERM, 0.5), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))
"""What a program is sent, and the seconds it has then: nobody waits for what a worker still runs."""


class LocalCluster:
    """One master and some workers; started by the constructor, ended by `stop`, at the latest with this process."""

    def __init__(
        self,
        workers: int,
        *,
        functions: Sequence[str] = (),
        durability: str = "process",
        path: Sequence[Path | str] = (),
    ) -> None:
        if workers < 1:
            raise ValueError(f"a local grid needs at least one worker, not {workers}")
        self._parts = _Parts(Path(tempfile.mkdtemp(prefix="taskgrid-")))
        self.key_file = make_key_files(self._parts.folder / "config" / "taskgrid")
        self._stop = weakref.finalize(self, self._parts.end)
        self._failure: BaseException | None = None
        self.servers: tuple[str, ...] = ()
        self._worker = [*_offer(functions), *_flags("--path", path)]
        self._start(workers, durability)

    def _start(self, workers: int, durability: str) -> None:
        started = threading.Event()
        threading.Thread(
            target=self._keep, args=(workers, durability, started), name="taskgrid-local", daemon=True
        ).start()
        started.wait()
        if self._failure is not None:
            self.stop()
            raise self._failure

    def stop(self) -> None:
        """End the programs, workers first, and remove their folder."""
        self._stop()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids: the master's first."""
        return tuple(each.pid for each in self._parts.programs)

    def _keep(self, workers: int, durability: str, started: threading.Event) -> None:
        """Start the programs and stay until they have ended, see above."""
        try:
            with _reserved_port() as port:
                self.servers = (f"127.0.0.1:{port}",)
                ready_file, master = self._start_master(port, durability)
                for number in range(1, workers + 1):
                    self._start_worker(number)
                self._await(ready_file, master)
        except BaseException as error:  # noqa: BLE001  # raised where the constructor waits
            self._failure = error
        parts = self._parts
        del self  # or this thread would keep what it waits for
        started.set()
        parts.ended.wait()

    def _start_master(self, port: int, durability: str) -> tuple[Path, subprocess.Popen[bytes]]:
        folder = self._parts.folder
        ready_file = folder / "ready.json"
        flags = {
            "--host": "127.0.0.1",
            "--port": port,
            "--journal": folder / "journal.db",
            "--durability": durability,
            "--key-file": self.key_file,
            "--ready-file": ready_file,
        }
        return ready_file, self._parts.run("master", [str(word) for flag in flags.items() for word in flag])

    def _start_worker(self, number: int) -> None:
        name = f"local-{number}"
        to_master = ["--server", *self.servers, "--key-file", str(self.key_file)]
        self._parts.run("worker", [*to_master, "--slots", "1", "--name", name, *self._worker], log=name)

    def _await(self, ready_file: Path, master: subprocess.Popen[bytes]) -> None:
        deadline = _CLOCK.now() + _START_WITHIN
        while not ready_file.exists():
            if master.poll() is not None or _CLOCK.now() > deadline:
                raise self._parts.failed("master", master)
            self._parts.ended.wait(_LOOK_EVERY)


@contextmanager
def _reserved_port() -> Iterator[int]:
    """Hold a free port meanwhile: bound, not listened on, so that only who names it can listen there."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


class _Parts:
    """What must be ended: apart from its owner, so that it can be ended after that was dropped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[subprocess.Popen[bytes]] = []
        self.ended = threading.Event()
        self._pid = os.getpid()

    def run(self, command: str, arguments: list[str], log: str = "") -> subprocess.Popen[bytes]:
        with (self.folder / f"{log or command}.log").open("wb") as output:
            program = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-m", "taskgrid", command, *arguments, "--die-with-parent"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(self.folder),
            )
        self.programs.append(program)
        return program

    def failed(self, command: str, program: subprocess.Popen[bytes]) -> TaskGridError:
        said = (self.folder / f"{command}.log").read_text(errors="replace").strip()
        status = program.poll()
        ended = f"it ended with status {status}" if status is not None else f"it did not serve in {_START_WITHIN:g} s"
        return TaskGridError(f"the local {command} could not be started", why=f"{ended}; it said:\n{said[-2000:]}")

    def end(self) -> None:
        if os.getpid() != self._pid:
            return  # a forked child: they are its parent's
        # Workers first, while the master is there to take what they give back, if it is.
        served = bool(self.programs) and self.programs[0].poll() is None
        _end(self.programs[1:], _INSISTENCE if served else _INSISTENCE[-1:])
        _end(self.programs[:1], _INSISTENCE)
        self.ended.set()
        shutil.rmtree(self.folder, ignore_errors=True)


def _end(programs: Sequence[subprocess.Popen[bytes]], steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Ask programs to end, step by step."""
    for sent, within in steps:
        running = [program for program in programs if program.poll() is None]
        for program in running:
            program.send_signal(sent)
        deadline = _CLOCK.now() + within
        for program in running:
            with suppress(subprocess.TimeoutExpired):
                program.wait(max(0.0, deadline - _CLOCK.now()))


def _offer(functions: Sequence[str]) -> list[str]:
    if functions:
        return _flags("--functions", functions)
    script = main_module_file()
    return ["--any-function", *(["--main", str(script)] if script else [])]


def _flags(flag: str, values: Sequence[Path | str]) -> list[str]:
    return [word for value in values for word in (flag, str(value))]


def _environment(folder: Path) -> dict[str, str]:
    """Return this process's environment, with a configuration of its own and this process's module path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKGRID_")}
    installed = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    # An empty entry is the current folder, which the programs put first themselves.
    own = [
        entry for entry in sys.path if entry and entry not in installed and not entry.endswith((".zip", "lib-dynload"))
    ]
    return kept | {
        "TASKGRID_PARENT": str(os.getpid()),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONPATH": os.pathsep.join(own),
    }
