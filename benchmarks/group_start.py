"""How long a person waits: for the help, and for a first result where nothing runs yet."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from figures import Figure, at_most
from programs import HERE

_FIRST_RESULT = """
import bench_tasks
from taskgrid import Grid

if __name__ == "__main__":
    with Grid.local(workers=1, functions=["bench_tasks"]) as grid:
        print(grid.submit(bench_tasks.same, 42).result(), flush=True)
"""


def measure(*, rounds: int) -> Iterator[Figure]:
    """Yield seconds."""
    helps, firsts = [], []
    for _ in range(rounds):
        helps.append(_until_said([sys.executable, "-m", "taskgrid", "--help"], "worker"))
        firsts.append(_until_said([sys.executable, "-c", _FIRST_RESULT], "42"))
    yield Figure("start", "taskgrid --help", "s", tuple(helps), at_most(0.3))
    yield Figure("start", "nothing running -> first result", "s", tuple(firsts), at_most(1.5), "Grid.local, one worker")


def _until_said(words: Sequence[str], wanted: str) -> float:
    """Return the seconds from a program's start to a line with that word."""
    begun = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=HERE) as program:
        for line in program.stdout or ():
            if wanted in line:
                taken = time.perf_counter() - begun
                program.communicate()
                return taken
    raise RuntimeError(f"{' '.join(words[:4])} ended with status {program.returncode} and did not say {wanted!r}")
