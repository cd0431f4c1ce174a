"""The functions that the benchmarks run: as small as functions get, and some that take a known time."""

from __future__ import annotations

import time

from taskgrid.files import FileSlice


def same(number: int) -> int:
    """Do nothing."""
    return number


def wait_20_ms(number: int) -> float:
    """Wait; return the seconds that the function had."""
    begun = time.perf_counter()
    time.sleep(0.02)
    return time.perf_counter() - begun + 0.0 * number


def compute_20_ms(number: int) -> float:
    """Compute; return the seconds that the function had."""
    begun = time.perf_counter()
    while (spent := time.perf_counter() - begun) < 0.02:
        number += 1
    return spent


def take(seconds: float) -> float:
    """Wait as long as told."""
    time.sleep(seconds)
    return seconds


def count_sevens(piece: FileSlice) -> int:
    """Look at every line of a piece of a file; return how many have a 7."""
    return sum(b"7" in line for line in piece)


def tally(number: int) -> dict[str, int]:
    """Count a few names, as of some lines of a log: about 300 bytes of JSON."""
    return {f"status {200 + (number + each) % 40}": number % 7 + each for each in range(16)}


def add_tallies(parts: list[dict[str, int]]) -> dict[str, int]:
    """Add counts by name."""
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total
