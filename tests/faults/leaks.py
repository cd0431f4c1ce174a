"""What a process holds: threads and descriptors, to be compared with what it held when it was idle."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from real_programs import eventually

_SLACK = 4
"""Of each: what a program opens when it first needs it, and keeps."""


class Held(NamedTuple):
    """How many threads and descriptors a process has."""

    threads: int
    descriptors: int


def held(pid: int) -> Held:
    """Look at a process."""
    folders = (Path(f"/proc/{pid}/task"), Path(f"/proc/{pid}/fd"))
    return Held(*(len(list(folder.iterdir())) for folder in folders))


def back_to(idle: Held, pid: int) -> None:
    """Wait until a process holds no more than when it was idle, or fail."""
    eventually(
        lambda: all(now <= then + _SLACK for now, then in zip(held(pid), idle, strict=True)),
        what=f"a process that held {idle} holds no more than that again",
    )
