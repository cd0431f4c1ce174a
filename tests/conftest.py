"""What tests of several floors share: a private grid of real programs, and how many run at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from real_programs import Programs, private_grid

# How long an example takes says how busy the machine is; the test's own time limit is what ends one that hangs.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's, for `-n auto`
def pytest_xdist_auto_num_workers() -> int:
    """Run two tests for each processor, as most of them mostly wait; beyond a few the longest test is what counts."""
    return min(2 * (os.cpu_count() or 1), 16)


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Give a master's address and key, and a way to start and kill programs; all of them end with the test."""
    with private_grid(tmp_path) as own:
        yield own
