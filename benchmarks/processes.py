"""Processes: what they use, and that none is left.

`adopt_orphans` makes this process the parent of whatever its descendants leave behind, so that
`end_all` finds every one of them, also a peer's daemons. Reads /proc: Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_GRACE = 3.0


def children_of(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            found += map(int, (thread / "children").read_text().split())
    return found


def tree_of(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    return [pid, *(each for child in children_of(pid) for each in tree_of(child))]


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has in use."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise ProcessLookupError(pid)


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor time that processes have used, threads that have ended included."""
    ticks = sum(sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) for pid in pids)
    return ticks / os.sysconf("SC_CLK_TCK")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_all() -> int:
    """End every descendant of this process, politely first; return how many there were."""
    left = tree_of(os.getpid())[1:]
    _signal(left, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    while tree_of(os.getpid())[1:]:
        if time.monotonic() > deadline:
            _signal(tree_of(os.getpid())[1:], signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        time.sleep(0.01)
    return len(left)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
