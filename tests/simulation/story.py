"""Run a seed, judge it, and say what happened: the one way that tests and the command line do it."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator

from .checker import check
from .tell import tell
from .world import Leaning, World

_LAST = 40
"""Events shown before what was found."""
_SWEPT = 50
"""Worlds after which their memory is looked for."""


def judge(seed: int, leaning: Leaning | None = None) -> tuple[World, list[str]]:
    """Return the world that a seed made, and what its history shows that may not be."""
    gc.disable()  # all of it lives as long as the world: a third of the time would go into looking through it
    try:
        world = World(seed, leaning)
        world.run()
        return world, check(world.loop.history, [client.plan for client in world.clients])
    finally:
        gc.enable()


def explain(seed: int, world: World, found: list[str]) -> str:
    """Return what is wrong with a seed, and the events that led there."""
    last = list(tell(_until_found(world, found)))[-_LAST:]
    findings = "\n".join(found)
    return f"seed {seed}:\n{findings}\n\npython -m tests.simulation {seed}\n\n" + "\n".join(last)


def failures(seeds: Iterable[int], leaning: Leaning | None = None) -> Iterator[str]:
    """Yield an explanation of each seed that shows something wrong."""
    for number, seed in enumerate(seeds, 1):
        world, found = judge(seed, leaning)
        if found:
            yield explain(seed, world, found)
        if not number % _SWEPT:
            gc.collect()  # worlds are full of cycles, and hundreds of them fill a machine


def _until_found(world: World, found: list[str]) -> Iterator[tuple[object, ...]]:
    """Yield the history up to the event at which the first finding was made."""
    plans = [client.plan for client in world.clients]
    history = world.loop.history
    low, high = 0, len(history)
    while low < high:
        middle = (low + high) // 2
        if check(history[:middle], plans, to_the_end=False):
            high = middle
        else:
            low = middle + 1
    yield from history[:low] if found else history
