"""A grid under every fault at once, many times over, on one seeded event loop.

Each seed is a world with its own faults; the checker holds its history to the promises. And each
mutant of production code must be noticed by some seed: a promise that no mutant breaks is not tested.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import leanings
from .mutants import MUTANTS
from .story import explain, failures, judge
from .world import Leaning

_BLOCK = 10
_SEEDS = 10_000 if os.environ.get("TASKGRID_FAULTS") == "long" else 200
_FIRST = int(os.environ.get("TASKGRID_SEED", "0"))

REGRESSIONS: dict[str, tuple[int, Leaning | None]] = {
    "a task that runs alone went elsewhere at the end of the grace": (3, leanings.OUT_OF_TOUCH),
    "chunks after the repeat of one whose job was sealed were dropped": (24, leanings.AWAY),
    "an outcome whose lease was lost could not be replayed": (3, leanings.FAILING_UNSYNCED),
    "a cursor of two starts ago skipped what was numbered anew": (8, leanings.RESTORED),
    "a task brought back beyond the mark went out unrecorded after a restart": (106, leanings.LATE),
    "a value was taken for a task of another job, which had its number": (115, leanings.FAILING_UNSYNCED),
    "an outcome was given twice after a cursor was set back": (1, leanings.UNSYNCED),
    "a worker got a task that is to be alone there before it had said what it held": (23_784, None),
    "by index a job was complete at a task that was being brought back": (35_681, None),
    "what is alone was cancelled, brought back, and ran twice at a time": (38_367, None),
    "after a restart nobody knew that a function is alone which no job called so": (35, leanings.DECLARED),
    "a beat that had left before a lease came made its worker seem to hold nothing": (50_100, leanings.SUPERSEDED),
    "the same beat, repeated over a new connection": (56_599, None),
    "a first lease that was lost with the power counted beside the one given since": (40_693, None),
}
"""Worlds that once showed something wrong in the grid."""

MISJUDGED: dict[str, tuple[int, Leaning | None]] = {
    "a task was brought back in the last moment before all was at rest": (6_439, None),
    "the beat of a worker that was lost was taken for a renewal of its leases": (29_551, None),
    "a job was brought back while its outcomes were read for an answer": (21_394, None),
    "a worker was lost, took its lease up again, and was lost with it": (21_863, None),
    "a run began under a lease that was lost with the power": (23_287, None),
    "a client was told what came of a retry that was lost with the power": (46_300, None),
    "a worker got others as a task that it had to itself was being cancelled": (50_226, leanings.FULL),
    "tasks that take their hosts along were done one after another, and slowly": (1_024, leanings.OUT_OF_TOUCH),
}
"""Worlds in which the checker once saw something wrong that was right."""


@pytest.mark.parametrize("first", range(_FIRST, _FIRST + _SEEDS, _BLOCK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    """Whatever is killed, stopped, cut off, lost or repeated: what was accepted ends once, rightly, and visibly so."""
    found = next(failures(range(first, first + _BLOCK)), None)
    assert found is None, found


@pytest.mark.parametrize("leaning", ["MERGED", "MERGED_RESTORED"])
@pytest.mark.parametrize("first", range(_FIRST, _FIRST + _SEEDS // 10, _BLOCK))
def test_no_merged_value_counts_twice_or_in_part(leaning: str, first: int) -> None:
    """Workers merge values of neighbours: each is committed whole or not at all, and each client has each task once."""
    found = next(failures(range(first, first + _BLOCK), getattr(leanings, leaning)), None)
    assert found is None, found


@pytest.mark.parametrize("trouble", REGRESSIONS)
def test_no_old_trouble_comes_back(trouble: str) -> None:
    """A world that once failed stays mended."""
    seed, leaning = REGRESSIONS[trouble]
    world, found = judge(seed, leaning)
    assert not found, explain(seed, world, found)


@pytest.mark.parametrize("doubt", MISJUDGED)
def test_the_checker_finds_no_fault_where_none_is(doubt: str) -> None:
    """What a promise allows is not held against the grid."""
    seed, leaning = MISJUDGED[doubt]
    world, found = judge(seed, leaning)
    assert not found, explain(seed, world, found)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_checker_notices(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A promise broken on purpose is noticed within so many seeds."""
    spoilt = MUTANTS[mutant]
    assert callable(getattr(spoilt.where, spoilt.name)) or isinstance(spoilt.worse, float)
    monkeypatch.setattr(spoilt.where, spoilt.name, spoilt.worse)
    seeds = range(spoilt.first, spoilt.first + spoilt.within)
    assert any(judge(seed, spoilt.leaning)[1] for seed in seeds)


def test_a_seed_is_a_history() -> None:
    """The same seed tells the same history, in another process and with other hashes, to the last line."""
    command = [sys.executable, "-m", "tests.simulation", "7", "--all"]
    told = [
        subprocess.run(
            command,
            capture_output=True,
            check=True,
            timeout=50,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hashes},
        ).stdout
        for hashes in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(told[0].splitlines()) > 100
