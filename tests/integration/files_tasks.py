"""What the tests run over files, as a user would write it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from taskgrid.files import FileSlice, Output


def total(piece: FileSlice) -> int:
    """Add up numbers, a line each."""
    return sum(map(int, piece))


def patient_total(piece: FileSlice) -> int:
    """Add up numbers; but not before somebody opens the gate, unless the file is called `c.log`."""
    gate = piece.path.parent / "gate"
    while piece.path.name != "c.log" and not gate.exists():
        time.sleep(0.01)
    return total(piece)


def careful_total(piece: FileSlice) -> int:
    """Add up numbers, and say which lines hold none."""
    found = 0
    for line in piece.text():
        if line.strip().isdecimal():
            found += int(line)
        else:
            piece.bad(line, "no number")
    return found


def doubled(piece: FileSlice, out: Output) -> int:
    """Write each number doubled; return how many there were."""
    count = 0
    with out.open("w") as file:
        for line in piece:
            file.write(f"{2 * int(line)}\n")
            count += 1
    return count


def greedy(piece: FileSlice, more: int) -> int:
    """Take what no run gives."""
    return len(piece.read_bytes()) + more


def no_slice(path: Path) -> int:
    """Take a path."""
    return path.stat().st_size


def largest(parts: Sequence[int]) -> int:
    """Return the largest of numbers."""
    return max(parts)


def waits_behind(piece: FileSlice, path: str) -> int:
    """Count the records, of all slices but the first once a file exists; one that says "bad" fails."""
    while piece.start and not Path(path).exists():
        time.sleep(0.01)
    lines = list(piece)
    if b"bad\n" in lines:
        raise ValueError("bad")
    return len(lines)
