"""What a task process says to its agent, and the outcomes it has not handed over yet.

The main thread runs the tasks, and hands outcomes over between two of them. One that runs for long must
not keep back what ended before it, so a second thread hands over what has stood for a while. Appending is
the main thread's alone and needs no lock; whoever takes, and whoever speaks, holds one.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import Final

from taskgrid.worker.frames import Outcomes, Slip, ToAgent, Unpublished, frame
from taskgrid.worker.merging import Blocks

HAND_OVER_AFTER: Final = 100_000_000
"""Nanoseconds: outcomes are handed over at least that often."""
_STAY_AWAKE: Final = 20
"""Looks in a row that found nothing to do before the second thread waits to be woken."""
_BUCKETS: Final = 64
_KILO: Final = 10
"""Bits: a bucket of nanoseconds is taken for the one of microseconds that many below, 2.4 % off."""


class Batch:
    """Outcomes that were not handed over yet, from the ordinal `first` on; its lists are reused."""

    def __init__(self, first: int, blocks: Blocks | None = None) -> None:
        """`blocks`: how values are merged before they are handed over."""
        self.first = first
        self.blocks = blocks
        self._whole: list[tuple[int, int]] = []
        self.lines: list[bytes] = []
        self.slips: list[Slip] = []
        self.unpublished: list[Unpublished] = []
        self.buckets = [0] * _BUCKETS
        """Successes by bit length of their nanoseconds."""
        self.began = time.monotonic_ns()

    def merge(self) -> None:
        """Merge the values of whole merge blocks."""
        if self.blocks is not None:
            self._whole += self.blocks.merge(self.first, self.lines)

    def take(self) -> bytes:
        """Return its content as a frame to the agent, and begin anew behind it; more may be appended meanwhile."""
        lines = self.lines[:]
        stop = self.first + len(lines)
        slips = tuple([slip for slip in self.slips if slip.ordinal < stop])
        unpublished = tuple([each for each in self.unpublished if each.ordinal < stop])
        buckets = self.buckets[:]
        used = list(filter(buckets.__getitem__, range(_BUCKETS)))
        now = time.monotonic_ns()
        header = Outcomes(
            first=self.first,
            count=len(lines),
            slips=slips,
            unpublished=unpublished,
            nanoseconds=now - self.began,
            durations=_by_microseconds(buckets, used),
            whole=tuple(self._whole),
        )
        self._whole.clear()
        del self.lines[: len(lines)]
        del self.slips[: len(slips)]
        del self.unpublished[: len(unpublished)]
        for bucket in used:
            self.buckets[bucket] -= buckets[bucket]
        self.first, self.began = stop, now
        return frame(header, b"\n".join(lines))


def _by_microseconds(buckets: list[int], used: list[int]) -> tuple[tuple[int, int], ...]:
    counts: dict[int, int] = {}
    for bucket in used:
        coarse = max(0, bucket - _KILO - 1)
        counts[coarse] = counts.get(coarse, 0) + buckets[bucket]
    return tuple(counts.items())


class Courier:
    """Owns what is sent on the channel, and the second thread, which ends with the process."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._batch: Batch | None = None
        self._sleeps = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        """Hold up no forked process with a lock that a thread of its parent had."""
        self._lock = threading.Lock()

    def say(self, message: ToAgent) -> None:
        """Send a message."""
        with self._lock:
            self._channel.sendall(frame(message))

    def begin(self, batch: Batch) -> None:
        """Let no outcome of the batch stand for long."""
        self._batch = batch
        if self._sleeps:
            self._woken.set()
        elif self._thread.ident is None:
            self._thread.start()

    def merge(self, batch: Batch) -> None:
        """Merge what the batch holds; for the main thread, since a function of the user's does it."""
        with self._lock:
            batch.merge()

    def hand_over(self, batch: Batch) -> None:
        """Send what the batch holds."""
        with self._lock:
            if batch.lines:
                self._channel.sendall(batch.take())

    def end(self) -> None:
        """Let the batch go."""
        self._batch = None

    def _run(self) -> None:
        in_vain = 0
        while True:
            self._woken.wait(HAND_OVER_AFTER / 1e9 if in_vain < _STAY_AWAKE else None)
            self._woken.clear()
            batch = self._batch
            in_vain = 0 if batch is not None else in_vain + 1
            self._sleeps = in_vain >= _STAY_AWAKE
            if self._sleeps and self._batch is not None:
                in_vain = 0  # it began just now, and may not have seen that this thread was about to sleep
            if batch is not None and batch.lines and time.monotonic_ns() >= batch.began + HAND_OVER_AFTER:
                try:
                    self.hand_over(batch)
                except OSError:
                    return  # the agent is gone: the main thread will see it, too
