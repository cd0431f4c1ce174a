"""A private grid for the tests of one module."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from taskgrid import Grid
from taskgrid.transport.protocol import Selector


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """Give a master and two workers of one slot each."""
    with Grid.local(workers=2, functions=["client_tasks"]) as local:
        yield local
        local.control.cancel(Selector(all=True))  # what a failed test left would be waited for


def eventually(true: Callable[[], bool], within: float = 30.0) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
