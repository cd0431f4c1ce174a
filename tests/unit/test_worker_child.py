"""What a task process tells its agent while it merges: whom to watch, and whom not to blame."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from test_worker_words import words

from taskgrid.model import JobNumber, Reduce
from taskgrid.worker.child import TaskProcess
from taskgrid.worker.frames import Assignment, FrameReader, Outcomes, Setup, Stopped
from taskgrid.worker.words import AT, LIMIT, MERGING, SINCE, Words

__all__ = ["words"]

SETUP = Setup(modules=(), worker="w", max_result_bytes=1 << 20, parent=os.getpid())


class Merger:
    """What merges values, and looks at the words while it does."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self.seen: list[tuple[int, int]] = []

    def merged(self, lines: Sequence[bytes]) -> bytes:
        """Return how many lines these are."""
        self.seen.append((self._words.view[AT], self._words.view[MERGING]))
        return b"%d" % len(lines)


class Shelf:
    """A library of one function, whose outcome is the payload."""

    def __init__(self, merger: Merger, run: Callable[[bytes], bytes]) -> None:
        self._merger, self._run = merger, run

    def runner(self, _: Assignment) -> Callable[[bytes], bytes]:
        """Return the function."""
        return self._run

    def merging(self, _: Assignment) -> Any:
        """Return what merges."""
        return self._merger


def told(merger: Merger, words: Words, tasks: int, run: Callable[[bytes], bytes]) -> list[Any]:
    """Run tasks in a task process that merges; return what it told its agent."""
    ours, theirs = socket.socketpair()
    assignment = Assignment(first=0, job=JobNumber(1), function="m:f", runs=((0, tasks),), reduce=Reduce(how="merge"))
    with ours, theirs, ThreadPoolExecutor() as agent:
        heard = agent.submit(_heard, ours)
        process = TaskProcess(theirs, words, SETUP, Shelf(merger, run))  # type: ignore[arg-type]  # all it needs of one
        process._run_or_wait(assignment, b"\n".join([b"1"] * tasks))
        theirs.shutdown(socket.SHUT_WR)
        return heard.result(20)


def _heard(channel: socket.socket) -> list[Any]:
    reader, frames = FrameReader(), []
    while data := channel.recv(1 << 20):
        frames += [header for header, _ in reader.feed(data)]
    return frames


def test_the_last_task_counts_as_running_while_values_are_merged(words: Words) -> None:
    """So limits and a cancellation end a merge too; and nothing is to blame then, as the words say."""
    merger = Merger(words)
    frames = told(merger, words, 130, lambda line: line)
    assert merger.seen == [(129, 1), (129, 1)]
    assert (words.view[AT], words.view[MERGING]) == (~130, 0)
    assert [(frame.count, frame.whole) for frame in frames if isinstance(frame, Outcomes)] == [
        (130, ((0, 64), (64, 128)))
    ]


def test_a_child_that_met_its_limit_merges_as_the_last_task_that_began(words: Words) -> None:
    """The one that it did not begin may be another process's already: nobody would watch this one for it."""
    words.view[LIMIT] = 100
    merger = Merger(words)
    frames = told(merger, words, 130, lambda line: line)
    assert merger.seen == [(99, 1)]
    assert [type(frame) for frame in frames] == [Outcomes, Stopped]
    assert frames[1].at == 100


def test_the_time_of_a_merge_is_no_tasks(words: Words) -> None:
    """A full frame is merged and sent between two tasks: the second one begins after that."""
    began: list[int] = []
    ended: list[tuple[int, int]] = []

    class Clocked(Merger):
        def merged(self, lines: Sequence[bytes]) -> bytes:
            line = super().merged(lines)
            ended.append((len(began), time.monotonic_ns()))
            return line

    def large(_: bytes) -> bytes:
        began.append(words.view[SINCE])
        return b'"%s"' % (b"x" * 12_000)

    told(Clocked(words), words, 128, large)
    ((following, at),) = [each for each in ended if each[0] < len(began)]
    assert began[following] >= at
