"""Functions that the client's tests run."""

from __future__ import annotations

import os
import time
from pathlib import Path

from taskgrid import task


def same(x: int) -> int:
    """Return it."""
    return x


def add(a: int, b: int = 100) -> int:
    """Return the sum."""
    return a + b


def fails_at_three(x: int) -> int:
    """Return it, unless it is three."""
    if x == 3:
        raise ValueError("three is not allowed")
    return x


class Strange(Exception):
    """An exception that no caller can rebuild."""


def raises_strange(x: int) -> int:
    """Raise what no caller knows."""
    raise Strange(f"strange {x}")


def dies(x: int) -> int:
    """End the process."""
    os._exit(x)


@task(time_limit=0.3)
def hangs(x: int) -> int:
    """Run into the time limit."""
    time.sleep(60)
    return x


@task(max_attempts=3)
def succeeds_at_third(path: str) -> int:
    """Fail twice, noting each attempt in a file."""
    notes(path, "attempt")
    attempts = len(Path(path).read_text().split())
    if attempts < 3:
        raise ValueError(f"attempt {attempts} fails")
    return attempts


def waits_for(path: str) -> str:
    """Return once the file exists."""
    while not Path(path).exists():
        time.sleep(0.005)
    return path


def notes(path: str, word: str) -> None:
    """Append a word to a file."""
    with Path(path).open("a") as file:
        file.write(word + "\n")


def third(x: int) -> float:
    """Return what no binary float is."""
    return x / 3


def total(parts: list[float]) -> float:
    """Add up, from the left."""
    return sum(parts)


def total_but_in_workers(parts: list[float]) -> float:
    """Add up in the process that submitted; elsewhere fail."""
    if "client_tasks_submitter" not in os.environ:
        raise RuntimeError("not here")
    return sum(parts)


def total_or_death(parts: list[float]) -> float:
    """Add up in the process that submitted; elsewhere end the process."""
    if "client_tasks_submitter" not in os.environ:
        os._exit(5)
    return sum(parts)


def third_unless_marked(x: int, marks: Path) -> float:
    """Return a third, unless a mark says that it fails."""
    if (marks / str(x)).exists():
        raise ValueError(f"{x} is marked")
    return x / 3


def total_without_end(parts: list[float]) -> float:
    """Add up in the process that submitted; elsewhere do nothing, for ever."""
    while "client_tasks_submitter" not in os.environ:
        time.sleep(1)
    return sum(parts)


def waits_unless(path: str | None, word: str) -> str:
    """Return the word once the file exists; without one, fail by it."""
    if path is None:
        raise ValueError(word)
    while not Path(path).exists():
        time.sleep(0.01)
    return word
