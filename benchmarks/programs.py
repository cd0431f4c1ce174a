"""A private grid of real programs: a master that can be killed and started anew, and workers.

Programs end with the thread that started them (`--die-with-parent`), so the main thread starts them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from taskgrid import Grid
from taskgrid.transport.keys import make_key_files, read_key
from taskgrid.transport.manager import GridManager

HERE = Path(__file__).resolve().parent
_SERVES_WITHIN = 120.0
_TASKGRID = ("-m", "taskgrid")


class Programs:
    """One address, key and journal, and the programs that were started for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key_file = make_key_files(folder / "config" / "taskgrid")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._running: list[subprocess.Popen[bytes]] = []
        self._starts = 0

    @property
    def server(self) -> str:
        """Where the master is."""
        return f"127.0.0.1:{self.port}"

    def start_master(
        self, *flags: str, durability: str = "process", wait: bool = True, program: tuple[str, ...] = _TASKGRID
    ) -> subprocess.Popen[bytes]:
        """Start a master with the journal and key that were there before; `wait` until it serves."""
        ready = self.folder / f"ready-{self._starts}.json"
        own = ["--host", "127.0.0.1", "--port", str(self.port), "--journal", str(self.folder / "journal.db")]
        own += ["--key-file", str(self.key_file), "--durability", durability, "--ready-file", str(ready)]
        master = self._run("master", *own, *flags, program=program)
        deadline = time.monotonic() + _SERVES_WITHIN
        while wait and not ready.exists():
            if master.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the master did not start:\n{self.said()}")
            time.sleep(0.01)
        return master

    def start_worker(self, slots: int, functions: str = "bench_tasks") -> subprocess.Popen[bytes]:
        """Start a worker for the functions of a module, the benchmarks' own unless another is named."""
        own = ["--server", self.server, "--key-file", str(self.key_file), "--slots", str(slots)]
        return self._run("worker", *own, "--functions", functions, "--path", str(HERE))

    def stop(self, program: subprocess.Popen[bytes]) -> None:
        """End one as an operator does, and let it finish."""
        program.terminate()
        program.wait(_SERVES_WITHIN)
        self._running.remove(program)

    def kill(self, program: subprocess.Popen[bytes]) -> None:
        """`kill -9`."""
        program.kill()
        program.wait()
        self._running.remove(program)

    def manager(self) -> GridManager:
        """Return a way to the master that speaks the protocol itself."""
        return GridManager([self.server], read_key(self.key_file), reconnect_for=60.0)

    def grid(self) -> Grid:
        """Return a client."""
        return Grid(self.server, key_file=self.key_file)

    def said(self) -> str:
        """Return the end of what every program said."""
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        """End all programs, workers first."""
        for program in reversed(self._running):
            program.terminate()
            try:
                program.wait(5.0)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def _run(self, command: str, *flags: str, program: tuple[str, ...] = _TASKGRID) -> subprocess.Popen[bytes]:
        self._starts += 1
        own = {"XDG_CONFIG_HOME": str(self.folder / "config"), "XDG_STATE_HOME": str(self.folder / "state")}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKGRID_")}
        with (self.folder / f"{self._starts}-{command}.log").open("wb") as log:
            running = subprocess.Popen(
                [sys.executable, *program, command, *flags, "--die-with-parent"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=kept | own,
                cwd=self.folder,
            )
        self._running.append(running)
        return running


@contextlib.contextmanager
def private_grid() -> Iterator[Programs]:
    """Give a grid's programs in a folder of their own, and end them all."""
    folder = Path(tempfile.mkdtemp(prefix="taskgrid-bench-"))
    programs = Programs(folder)
    try:
        yield programs
    except BaseException:
        print(programs.said())
        raise
    finally:
        programs.end()
        shutil.rmtree(folder, ignore_errors=True)
