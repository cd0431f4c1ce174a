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
