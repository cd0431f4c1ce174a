"""What every fault test does: workers that run `proof_tasks`, and the history that their attempts write."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from real_programs import Programs

HERE = Path(__file__).parent
LEASE = ("--lease=3s", "--beat=500ms")
"""A worker that dies while the master is away is missed only when its leases end."""
SHORT_LEASE = ("--lease=1500ms", "--beat=400ms")


class Attempt(NamedTuple):
    """One line of the history: an attempt that began."""

    job: int
    index: int
    attempt: int
    pid: int
    at: float
    """When, on the machine's monotonic clock."""


def traced(programs: Programs) -> Programs:
    """Give the programs a history to write to."""
    programs.environment["PROOF_HISTORY"] = str(_history(programs))
    return programs


def attempts_begun(programs: Programs) -> list[Attempt]:
    """Return what was written so far, in the order in which it was."""
    history = _history(programs)
    lines = history.read_text().splitlines() if history.exists() else []
    words = [line.split() for line in lines]
    return [Attempt(int(job), int(index), int(number), int(pid), float(at)) for job, index, number, pid, at in words]


def hire(programs: Programs, *flags: str, slots: int = 1) -> subprocess.Popen[bytes]:
    """Start a worker that runs `proof_tasks`."""
    return programs.start_worker(*flags, functions="proof_tasks", path=HERE, slots=slots)


def _history(programs: Programs) -> Path:
    return programs.folder / "history.txt"


def launch(programs: Programs, name: str, words: Sequence[object]) -> subprocess.Popen[bytes]:
    """Start a Python program of ours, with this room's modules to import, that ends with the grid."""
    with programs.log_of(len(programs._started), name).open("wb") as log:
        program = subprocess.Popen(
            [sys.executable, *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=programs.variables(),
            cwd=programs.folder,
        )
    programs._started.append(program)
    return program
