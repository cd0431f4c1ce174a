"""What tests of several floors share: a private grid of real programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_programs import Programs, private_grid


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Give a master's address and key, and a way to start and kill programs; all of them end with the test."""
    with private_grid(tmp_path) as own:
        yield own
