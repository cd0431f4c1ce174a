"""A user's world for the command line's tests: a home of its own, functions to run, programs to call.

Every program is a process as a shell would start it, over pipes or a terminal. What was started is
ended with the test, by its own id. Whether a worker has come it asks as a client, since to ask by command
starts a program each time: of TaskGrid it knows no more than that.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from taskgrid import Grid

WITHIN = 90.0

FUNCTIONS = """
import os, time

def shout(text: str) -> str:
    print("shouting", text)
    return text.upper()

def half(n: int) -> float:
    if n == 3:
        raise ValueError("three is odd")
    return n / 2

def even(n: int) -> bool:
    return n % 2 == 0

def one_if_there(path: str) -> int:
    if not os.path.exists(path):
        raise ValueError("it is not there")
    return 1

def breaks(parts: list[float]) -> float:
    return len(parts) / 0

def largest(parts: list[float]) -> float:
    return max(parts)

def add(a: int, b: int = 0) -> int:
    return a + b

def wait_for(path: str) -> str:
    while not os.path.exists(path):
        time.sleep(0.01)
    return path
"""


class World:
    """A home, a folder with `mytasks.py`, and the programs started in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.started: list[subprocess.Popen[str]] = []
        (home / "mytasks.py").write_text(FUNCTIONS)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a user who has set none of TaskGrid's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKGRID_")}
        own = {
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "TERM": "xterm",
        }
        return kept | own

    def run(self, *words: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "taskgrid", *words],
            input=given,
            capture_output=True,
            text=True,
            cwd=self.home,
            env=self.environment | variables,
            timeout=WITHIN,
            check=False,
        )

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command that goes on; its talk is in `<number>.err`."""
        with self.talk_of(len(self.started)).open("w") as talk:
            process = subprocess.Popen(
                [sys.executable, "-m", "taskgrid", *words],
                **{
                    "stdin": subprocess.DEVNULL,
                    "stdout": subprocess.PIPE,
                    "stderr": talk,
                    "preexec_fn": _hear_ctrl_c,
                }
                | options,
                text=True,
                cwd=self.home,
                env=self.environment,
            )
        self.started.append(process)
        return process

    def talk_of(self, number: int) -> Path:
        """Return the file with what the n-th program said on stderr."""
        return self.home / f"{number}.err"

    def master(self, *flags: str) -> str:
        """Start a master and return its address once it serves."""
        ready = self.home / f"ready-{len(self.started)}.json"
        self.start("master", "--host=127.0.0.1", "--port=0", "--journal=memory", f"--ready-file={ready}", *flags)
        eventually(ready.exists)
        return str(json.loads(ready.read_text())["server"])

    def worker(self, *flags: str, **options: Any) -> subprocess.Popen[str]:
        """Start a worker of `mytasks`; it is there once it is listed."""
        known = self.workers()
        process = self.start("worker", "--slots=1", "--functions=mytasks", *flags, **options)
        eventually(lambda: self.workers() > known)
        return process

    def workers(self) -> int:
        """Return how many workers are connected to the master met last."""
        met = json.loads((self.home / "config/taskgrid/masters.json").read_text())["masters"][0]
        with Grid(met["server"], key_file=Path(met["key_file"])) as grid:
            return sum(worker.connected for worker in grid.control.workers())

    def close(self) -> None:
        """End what was started, the last first."""
        for process in reversed(self.started):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


@contextmanager
def world(home: Path) -> Iterator[World]:
    """Give a world, and end it."""
    made = World(home)
    try:
        yield made
    finally:
        made.close()


def eventually(true: Callable[[], object], within: float = WITHIN) -> None:
    """Wait for a condition, or fail. To look, as by a command, takes half of the time at most."""
    deadline = time.monotonic() + within
    looked_at = time.monotonic()
    while not true():
        assert time.monotonic() < deadline, f"not true within {within:g} s"
        time.sleep(max(0.02, time.monotonic() - looked_at))
        looked_at = time.monotonic()


class Terminal:
    """A program on a terminal of its own: what it shows, and a keyboard."""

    def __init__(self, world: World, *words: str) -> None:
        self._own, other = pty.openpty()
        self.shown = ""
        self.process = world.start(
            *words, stdin=other, stdout=other, stderr=other, start_new_session=True, preexec_fn=_take_terminal
        )
        os.close(other)
        os.set_blocking(self._own, False)

    def see(self, text: str) -> None:
        """Wait until the text was shown."""
        eventually(lambda: text in self._read())

    def type(self, text: str) -> None:
        """Type on its keyboard."""
        os.write(self._own, text.encode())

    def end(self) -> int:
        """Wait for its end and return its status."""

        def ended() -> bool:
            self._read()
            return self.process.poll() is not None

        eventually(ended)
        self._read()
        os.close(self._own)
        return self.process.returncode

    def _read(self) -> str:
        with suppress(BlockingIOError, OSError):
            while data := os.read(self._own, 65536):
                self.shown += data.decode(errors="replace")
        return self.shown


def _hear_ctrl_c() -> None:
    """Undo what a shell's background job passes on to all it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _take_terminal() -> None:
    import fcntl
    import termios

    _hear_ctrl_c()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
