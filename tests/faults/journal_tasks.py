"""Functions whose tasks end when the test says so."""

from __future__ import annotations

import time
from pathlib import Path


def gated(folder: str, gate: str, value: int) -> int:
    """Say that it began, and return the value once the gate is open."""
    (Path(folder) / f"begun-{value}").touch()
    while not (Path(folder) / gate).exists():
        time.sleep(0.01)
    return value
