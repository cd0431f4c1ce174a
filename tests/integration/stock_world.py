"""What the stock port's tests share: a textbook's manager, and its password."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.managers import BaseManager

KEY = b"a password of a textbook"
DEADLINE = 30


class Textbook(BaseManager):
    """What a textbook registers."""


Textbook.register("get_task_queue")
Textbook.register("get_result_queue")
Textbook.register("get_nothing")


def until(true: Callable[[], bool]) -> None:
    """Wait for something to become true; fail if it doesn't in time."""
    by = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < by
        time.sleep(0.01)
