"""A private grid of real programs: masters and workers by command line, each a process to be killed.

Every process carries a mark in its environment, inherited by whatever it starts, so that nothing of
a test stays unseen: `alive` finds all of them, and `close` ends them. Keys, journal and
configuration lie in the test's own folder. Programs end with the *thread* that started them, so a
test starts them from its main thread. It knows command lines and signals, not TaskGrid's insides.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from taskgrid import Grid
from taskgrid.transport.keys import make_key_files

_MARK = "PROGRAMS_OF_TEST"
_SERVES_WITHIN = 60.0


def eventually(true: Callable[[], object], within: float = 40.0, what: str = "") -> None:
    """Wait for a condition, or fail. To look takes half of the time at most, so that it holds up nobody it looks at."""
    deadline = time.monotonic() + within
    looked_at = time.monotonic()
    while not true():
        assert time.monotonic() < deadline, f"it did not come true within {within:g} s: {what or true}"
        time.sleep(max(0.01, time.monotonic() - looked_at))
        looked_at = time.monotonic()


def processes(variable: str, value: str) -> dict[int, str]:
    """Return the command lines, by process id, of all processes that have this variable in their environment."""
    wanted = f"{variable}={value}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        # A process may end while it is looked at; a zombie has no environment.
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ").strip()
    return found


def children_of(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            found += map(int, (thread / "children").read_text().split())
    return found


def reserved_port() -> socket.socket:
    """Bind a free port of the loopback address, so that only who names it can listen there, again and again.

    A port that is merely free can go to somebody else's connection while the master that had it is away.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


class Programs:
    """One master's address and key, and the programs started for it."""

    def __init__(self, folder: Path, *, python: Sequence[str] = (sys.executable,)) -> None:
        self.folder = folder
        self.journal = folder / "journal.db"
        self.key_file = make_key_files(folder / "config" / "taskgrid")
        self._reserved = reserved_port()
        self.server = f"127.0.0.1:{self._reserved.getsockname()[1]}"
        self.environment: dict[str, str] = {}
        """Variables for programs started from now on."""
        self.python = tuple(python)
        """The interpreter, and its flags, of programs started from now on."""
        self._mark = secrets.token_hex(8)
        self._started: list[subprocess.Popen[bytes]] = []

    # ------------------------------------------------------------ starting

    def start_master(self, *flags: str, wait: bool = True) -> subprocess.Popen[bytes]:
        """Start a master on the same address, journal and key as before; `wait` until it serves."""
        ready = self.folder / f"ready-{len(self._started)}.json"
        port = self.server.rpartition(":")[2]
        own = ["--host=127.0.0.1", f"--port={port}", f"--journal={self.journal}", f"--key-file={self.key_file}"]
        master = self.run("master", *own, "--durability=process", f"--ready-file={ready}", *flags)
        if wait:
            eventually(lambda: ready.exists() or self._check(master), _SERVES_WITHIN, "the master serves")
        return master

    def start_worker(self, *flags: str, functions: str, path: Path, slots: int = 1) -> subprocess.Popen[bytes]:
        """Start a worker; it enlists some tenths of a second later."""
        own = [f"--server={self.server}", f"--key-file={self.key_file}", f"--slots={slots}"]
        return self.run("worker", *own, f"--functions={functions}", f"--path={path}", *flags)

    def run(self, command: str, *flags: str, prefix: Sequence[str] = (), **options: Any) -> subprocess.Popen[bytes]:
        """Start one of TaskGrid's programs; what it says goes to a file of its own."""
        words = [*prefix, *self.python, "-m", "taskgrid", command, *flags, "--die-with-parent"]
        with self.log_of(len(self._started), command).open("wb") as log:
            program = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.variables(),
                cwd=self.folder,
                **options,
            )
        self._started.append(program)
        return program

    def variables(self) -> dict[str, str]:
        """Return the environment that programs get."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKGRID_")}
        own = {"XDG_CONFIG_HOME": str(self.folder / "config"), "XDG_STATE_HOME": str(self.folder / "state")}
        return kept | own | {_MARK: self._mark} | self.environment

    def log_of(self, number: int, command: str) -> Path:
        """Return where the n-th program started says what it says."""
        return self.folder / f"{number:03}-{command}.log"

    def said(self) -> str:
        """Return the end of what every program said."""
        logs = sorted(self.folder.glob("[0-9]*-*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

    def _check(self, program: subprocess.Popen[bytes]) -> bool:
        assert program.poll() is None, f"it ended with status {program.returncode}:\n{self.said()}"
        return False

    # ------------------------------------------------------------ looking

    def grid(self, **changes: Any) -> Grid:
        """Return a client."""
        return Grid(self.server, key_file=self.key_file, **changes)

    def alive(self) -> dict[int, str]:
        """Return the command line of everything that runs on behalf of this grid, by process id."""
        return processes(_MARK, self._mark)

    # ------------------------------------------------------------ ending

    def kill(self, program: subprocess.Popen[bytes]) -> None:
        """`kill -9` a program that was started here."""
        program.kill()
        program.wait()

    def end(self, program: subprocess.Popen[bytes], within: float = 40.0) -> int:
        """Ask a program to end and return its exit status."""
        program.terminate()
        return program.wait(within)

    def close(self) -> None:
        """End everything that is left, however it was started."""
        self._reserved.close()
        for program in self._started:
            if program.poll() is None:
                self.kill(program)
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def private_grid(folder: Path, *, python: Sequence[str] = (sys.executable,)) -> Iterator[Programs]:
    """Give a folder's programs, and end them all."""
    programs = Programs(folder, python=python)
    try:
        yield programs
    except BaseException:
        print(programs.said())  # pytest shows it with the failure
        raise
    finally:
        programs.close()
