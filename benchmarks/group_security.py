"""What security costs: the rate of no-op tasks under TLS beside that in the clear, and the seals' share of the CPU.

A plain connection is always sealed, there is no switch. So what the seals cost is taken apart: a run under a program
that notes the size of each frame that its master seals or checks (`seal_tap.py`), the CPU that as many frames of these
sizes take here, and the CPU that the master took for the same run without the note-taking.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import bench_tasks
import stopwatch
from figures import Figure, at_least, at_most
from programs import HERE, Programs, private_grid

from taskgrid import Grid
from taskgrid.transport.frames import Seal

_WORKERS = 2
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """A grid that no-op tasks are sent through."""

    programs: Programs
    master: subprocess.Popen[bytes]
    grid: Grid

    def rate(self, tasks: int) -> float:
        """Run them; return how many a second."""
        return stopwatch.rate(tasks, lambda: sum(self.grid.map(bench_tasks.same, range(tasks))))

    def master_seconds(self) -> float:
        """Return the seconds of CPU that the master has taken."""
        fields = Path(f"/proc/{self.master.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def measure(*, full: bool, rounds: int) -> Iterator[Figure]:
    """Yield both rates, their ratio, and the seals' share."""
    tasks = 2_000_000 if full else 300_000
    with ExitStack() as grids:
        plain, tls = _start(grids, "--no-tls"), _start(grids, "--tls")
        before = plain.master_seconds()
        rates = [(plain.rate(tasks), tls.rate(tasks)) for _ in range(max(5, rounds))]
        seconds = (plain.master_seconds() - before) / len(rates)
    in_the_clear, under_tls = zip(*rates, strict=True)
    yield Figure("security", "no-op map, plain and sealed", "tasks/s", in_the_clear)
    yield Figure("security", "no-op map, TLS", "tasks/s", under_tls)
    ratio = median(under_tls) / median(in_the_clear)
    yield Figure("security", "TLS / plain", "", (ratio,), at_least(0.7), "of the medians of rounds in turn")
    yield _seals(tasks, seconds)


def _start(grids: ExitStack, tls: str, program: tuple[str, ...] = ("-m", "taskgrid")) -> Run:
    programs = grids.enter_context(private_grid())
    master = programs.start_master(tls, program=program)
    for _ in range(_WORKERS):
        programs.start_worker(1)
    grid = grids.enter_context(programs.grid())
    while sum(worker.connected for worker in grid.control.workers()) < _WORKERS:
        time.sleep(0.01)
    list(grid.map(bench_tasks.take, [0.05] * 4 * _WORKERS))
    return Run(programs, master, grid)


def _seals(tasks: int, master_seconds: float) -> Figure:
    sizes = _sizes_of_frames(tasks)
    seconds = _seconds_to_seal(sizes)
    remark = f"not a difference of two runs: {len(sizes):,} frames, {sum(sizes) / 1e6:.1f} MB, took {seconds:.3f} s"
    share = 100 * seconds / master_seconds
    return Figure("security", "seals: share of the master's CPU", "%", (share,), at_most(10), remark)


def _sizes_of_frames(tasks: int) -> list[int]:
    with TemporaryDirectory() as folder, ExitStack() as grids:
        noted = Path(folder) / "sizes.json"
        run = _start(grids, "--no-tls", (str(HERE / "seal_tap.py"), str(noted)))
        run.rate(tasks)
        run.programs.stop(run.master)
        sizes: list[int] = json.loads(noted.read_text())
    return sizes


def _seconds_to_seal(sizes: list[int]) -> float:
    """Seal as many frames as there were, each as large."""
    frame = memoryview(bytes(max(sizes)))
    seal = Seal(bytes(32))
    begun = time.process_time()
    for size in sizes:
        seal.next((frame[:size],))
    return time.process_time() - begun
