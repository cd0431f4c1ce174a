"""One event loop for the whole world: a heap of instants, a seeded random, and what happened.

A *node* is a machine's process: it can be paused, killed and started again, and what was due in an
earlier life never happens. A *routine* is a generator that stands for one of a process's threads:
it yields what it waits for. Nothing here knows what TaskGrid is.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from random import Random
from typing import Any, Protocol

Event = tuple[Any, ...]
"""(time, kind, facts...): one line of a history."""


class Runaway(Exception):
    """More happened than can be: something goes round in a circle."""


class Loop:
    """Lets simulated time pass, event by event."""

    def __init__(self, seed: int, most: int = 200_000) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.stopped = False
        self.history: list[Event] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._left = most

    def at(self, delay: float, call: Callable[[], None]) -> None:
        """Have something done after a delay."""
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay, self._count, call))

    def step(self) -> None:
        """Do what is due next."""
        self._left -= 1
        if not self._left:
            raise Runaway
        self.now, _, call = heapq.heappop(self._heap)
        call()

    def run(self, by: float) -> None:
        """Go on until that instant, or until somebody says stop."""
        while self._heap and self._heap[0][0] <= by and not self.stopped:
            self.step()

    def note(self, kind: str, *facts: Any) -> None:
        """Write a line of the history."""
        self.history.append((self.now, kind, *facts))


class Wish(Protocol):
    """What a routine waits for."""

    def begin(self, node: Node, answer: Callable[..., None]) -> None:
        """See to it that `answer(value)`, or `answer(error=...)`, is called once."""


Routine = Generator[Wish, Any, Any]


class Pause:
    """Wait a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def begin(self, node: Node, answer: Callable[..., None]) -> None:
        """Answer after that."""
        node.later(self._seconds, answer)


class Bell:
    """What one routine rings and others listen for; has the one method of an event that a ledger uses."""

    def __init__(self) -> None:
        self._rung = False
        self._listeners: list[Callable[[], None]] = []

    def set(self) -> None:
        """Ring."""
        self._rung = not self._listeners
        listeners, self._listeners = self._listeners, []
        for wake in listeners:
            wake()

    def listen(self, node: Node, answer: Callable[..., None], within: float) -> None:
        """Answer at the next ring, or after that many seconds."""
        if self._rung:
            self._rung = False
            node.later(0.0, answer)
            return
        answered = False

        def once() -> None:
            nonlocal answered
            if not answered:
                answered = True
                answer()

        self._listeners.append(lambda: node.later(0.0, once))
        node.later(within, lambda: (self._forget(wake), once()))
        wake = self._listeners[-1]

    def _forget(self, wake: Callable[[], None]) -> None:
        if wake in self._listeners:
            self._listeners.remove(wake)


class Listen:
    """Wait for a bell, for so long."""

    def __init__(self, bell: Bell, within: float) -> None:
        self._bell = bell
        self._within = within

    def begin(self, node: Node, answer: Callable[..., None]) -> None:
        """Answer when it rings."""
        self._bell.listen(node, answer, max(0.0, self._within))


class Node:
    """A process somewhere: it lives, stands still, dies and comes back."""

    def __init__(self, loop: Loop, name: str) -> None:
        self.loop = loop
        self.name = name
        self.life = 0
        self.up = False
        self.paused = False
        self._put_off: list[Callable[[], None]] = []

    def later(self, delay: float, call: Callable[..., None]) -> None:
        """Have this process do something after a delay, unless it has died by then."""
        life = self.life
        self.loop.at(delay, lambda: self._fire(life, call))

    def _fire(self, life: int, call: Callable[..., None]) -> None:
        if life != self.life or not self.up:
            return
        if self.paused:
            self._put_off.append(call)
        else:
            call()

    def begin_life(self) -> None:
        """Come to life."""
        self.life += 1
        self.up, self.paused = True, False
        self.loop.note("start", self.name)

    def pause(self) -> None:
        """Stand still."""
        if self.up and not self.paused:
            self.paused = True
            self.loop.note("pause", self.name)

    def resume(self) -> None:
        """Go on; what fell due meanwhile is done in any order."""
        if not (self.up and self.paused):
            return
        self.paused = False
        self.loop.note("resume", self.name)
        put_off, self._put_off = self._put_off, []
        for call in put_off:
            self.later(self.loop.random.uniform(0.0, 0.02), call)

    def crash(self) -> None:
        """Die on the spot."""
        if self.up:
            self.loop.note("crash", self.name)
            self.up, self.paused = False, False
            self.life += 1
            self._put_off.clear()

    def spawn(self, routine: Routine) -> None:
        """Start a routine, which dies with this life."""
        self.later(0.0, lambda: self._advance(routine))

    def _advance(self, routine: Routine, value: Any = None, error: Exception | None = None) -> None:
        life = self.life
        try:
            wish = routine.throw(error) if error is not None else routine.send(value)
        except StopIteration:
            return

        def answer(value: Any = None, *, error: Exception | None = None) -> None:
            if life == self.life:
                self._advance(routine, value, error)

        wish.begin(self, answer)
