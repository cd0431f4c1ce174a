"""What the fault tests run over files: functions that write, and say in what they write whose attempt it was."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel

from taskgrid.files import FileSlice, Output


def stamped(piece: FileSlice, out: Output) -> str:
    """Copy the records behind a line that no other attempt writes; return that line."""
    line = f"{os.getpid()}"
    with out.open("w") as file:
        file.write(line + "\n")
        file.writelines(piece.text())
    return line


def stamped_in_turn(piece: FileSlice, out: Output) -> str:
    """Do so in turn: the n-th attempt to begin writes at once, and ends when there is a file called n."""
    folder = piece.path.parent
    with out.open("w") as file:
        turn = len(list(folder.glob("begun-*"))) + 1
        file.write(f"{turn}\n")
        file.writelines(piece.text())
        file.flush()
        (folder / f"begun-{turn}").touch()
        _await(folder / f"go-{turn}")
    return str(turn)


def _await(gate: Path) -> None:
    while not gate.exists():
        time.sleep(0.01)


class Sums(BaseModel):
    """Sums that tell in which order they were made: floats of very different sizes."""

    lines: int
    weight: float

    @classmethod
    def merge(cls, parts: Sequence[Sums]) -> Sums:
        """Add them up, the first to the second and so on."""
        return cls(lines=sum(part.lines for part in parts), weight=sum(part.weight for part in parts))


def copied(piece: FileSlice, out: Output) -> Sums:
    """Copy the records that hold an even number, and sum all of them up."""
    with out.open("w") as file:
        return _summed(piece, file)


def summed(piece: FileSlice) -> Sums:
    """Sum the records up."""
    return _summed(piece, None)


def _summed(piece: FileSlice, file: TextIO | None) -> Sums:
    _note_begin(piece)
    lines, weight = 0, 0.0
    for line in piece.text():
        lines += 1
        weight += 1.1 ** (int(line) % 300)
        if file is not None and int(line) % 2 == 0:
            file.write(line)
    time.sleep(0.03)
    return Sums(lines=lines, weight=weight)


def _note_begin(piece: FileSlice) -> None:
    with Path(os.environ["PROOF_BEGUN"]).open("a") as begun:
        begun.write(f"{piece.path.name} {piece.start}\n")
