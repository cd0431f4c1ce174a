"""How much a fault run does: a taste of each in `make test`, all of it in `make faults`, far more in the long run.

`TASKGRID_FAULTS` says which: nothing, `full` or `long`. `TASKGRID_SEED` is the first seed of
whatever is drawn by lot; a run says its seeds, so that one that failed can be repeated.
"""

from __future__ import annotations

import os
from typing import TypeVar

import pytest

T = TypeVar("T")

MODES = ("", "full", "long")
MODE = os.environ.get("TASKGRID_FAULTS", "")
FIRST_SEED = int(os.environ.get("TASKGRID_SEED", "1"))


def scaled(short: T, full: T, long: T) -> T:
    """Return what fits the run."""
    return (short, full, long)[MODES.index(MODE)]


def seeds(short: int, full: int, long: int) -> range:
    """Return that many seeds."""
    return range(FIRST_SEED, FIRST_SEED + scaled(short, full, long))


in_full_only = pytest.mark.skipif(not MODE, reason="part of `make faults`")
in_long_only = pytest.mark.skipif(MODE != "long", reason="part of `make faults-long`")
