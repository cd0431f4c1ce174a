"""A task process: it imports the user's functions, runs bundles line by line, hands outcomes over.

Started as `python -m taskgrid.worker.child SOCKET WORDS`, two inherited descriptors. The loop in
`_run` is the only code of a worker that costs something per task. It knows nothing of leases,
masters or other slots; what it may begin is told by one word of shared memory (see `words`).
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import socket
import sys
import time
from collections.abc import Iterator
from itertools import repeat
from typing import BinaryIO, Final

from taskgrid.clock import SystemClock
from taskgrid.errors import TaskGridError
from taskgrid.functions.current import LEFT, SLOT, Current
from taskgrid.model import FAILURE_MARK, MERGE_BLOCK, failure_line, parse_failure
from taskgrid.worker.courier import HAND_OVER_AFTER, Batch, Courier
from taskgrid.worker.frames import (
    Assignment,
    OldCode,
    Ready,
    Resume,
    Setup,
    Slip,
    Stopped,
    Unfit,
    Unpublished,
    frame,
    read_frame,
)
from taskgrid.worker.hygiene import keep_to_itself, stand_as_child_of
from taskgrid.worker.library import Library, Outdated
from taskgrid.worker.merging import Blocks
from taskgrid.worker.positions import indices
from taskgrid.worker.words import AT, LIMIT, MERGING, SINCE, Words

HAND_OVER_BYTES: Final = 1 << 20
"""Bytes of outcome lines that make a frame, or one line."""
_MARK: Final = FAILURE_MARK[0]


class TaskProcess:
    """The child's side of its channel."""

    def __init__(self, channel: socket.socket, words: Words, setup: Setup, library: Library) -> None:
        self._courier = Courier(channel)
        self._view = words.view
        self._setup = setup
        self._library = library
        self._clock = SystemClock()

    def serve(self, source: BinaryIO) -> None:
        """Run what comes until the agent closes the channel; once stopped, skip what was sent before `Resume`."""
        self._courier.say(Ready())
        stopped = False
        while (received := read_frame(source)) is not None:
            header, body = received
            if isinstance(header, Resume):
                stopped = False
            elif isinstance(header, Assignment) and not stopped:
                stopped = not self._run_or_wait(header, body)

    def _run_or_wait(self, assignment: Assignment, body: bytes) -> bool:
        try:
            return self._run(assignment, body.split(b"\n"))
        except Outdated:
            self._courier.say(OldCode())
            return False
        finally:
            self._courier.end()

    def _run(self, assignment: Assignment, payloads: list[bytes]) -> bool:
        """Run an assignment's tasks and hand their outcomes over; False when the limit was met."""
        run, view, clock = self._library.runner(assignment), self._view, time.monotonic_ns
        tasks = list(indices(assignment.runs))
        batch = Batch(assignment.first, self._blocks(assignment, tasks))
        self._courier.begin(batch)
        lines, buckets = batch.lines, batch.buckets
        size, before = 0, batch.began
        due = before + HAND_OVER_AFTER
        for ordinal, current in enumerate(self._tasks(assignment, tasks, payloads), assignment.first):
            view[SINCE] = before
            view[AT] = ordinal
            if ordinal >= view[LIMIT]:
                self._stop(batch, ordinal)
                return False
            SLOT[0] = current
            outcome = run(current[5])
            now = clock()
            if outcome[0] == _MARK:
                outcome = self._failed(batch, ordinal, outcome, now - before)
            else:
                buckets[(now - before).bit_length()] += 1
            if LEFT:
                self._left(batch, ordinal, outcome)
            size += len(outcome)
            if size > HAND_OVER_BYTES and lines:
                self._merge(batch, ordinal)
                view[MERGING] = 0
                self._courier.hand_over(batch)  # without this one, which counts as running until it is in the batch
                size, now = len(outcome), clock()
            lines.append(outcome)
            if now >= due:
                self._hand_over(batch, ordinal + 1)
                size, now = 0, clock()
                due = now + HAND_OVER_AFTER
            before = now
        self._hand_over(batch, assignment.first + len(payloads))
        return True

    def _blocks(self, assignment: Assignment, tasks: list[int]) -> Blocks | None:
        if len(tasks) < MERGE_BLOCK or (merging := self._library.merging(assignment)) is None:
            return None
        return Blocks(assignment.first, tasks, merging.merged)

    def _tasks(self, assignment: Assignment, tasks: list[int], payloads: list[bytes]) -> Iterator[Current]:
        """Yield what each task may know of itself; without a time limit that costs no line of Python a task."""
        job, function, limit = assignment.job, assignment.function, assignment.seconds
        attempt_of = assignment.attempts.get
        if len(tasks) != len(payloads):
            raise ValueError(f"{len(payloads)} payloads came for {len(tasks)} tasks")
        attempts = [attempt_of(task, 1) for task in tasks] if assignment.attempts else repeat(1)
        if limit is None:
            return zip(repeat(job), tasks, attempts, repeat(None), repeat(function), payloads, strict=False)
        now, rows = self._clock.now, zip(tasks, attempts, payloads, strict=False)
        return ((job, task, attempt, now() + limit, function, payload) for task, attempt, payload in rows)

    def _hand_over(self, batch: Batch, following: int) -> None:
        SLOT[0] = None
        self._merge(batch, following - 1)
        self._view[AT] = ~following
        self._view[MERGING] = 0
        self._courier.hand_over(batch)

    def _merge(self, batch: Batch, at: int) -> None:
        """Merge what can be; `at`, which has run, counts as running: limits and a cancellation end this too."""
        if batch.blocks is not None and batch.lines:
            self._view[AT] = at
            self._view[MERGING] = 1
            self._courier.merge(batch)

    def _left(self, batch: Batch, ordinal: int, outcome: bytes) -> None:
        """Note the files that a task left to be published, unless its value came to nothing."""
        if outcome[0] != _MARK:
            batch.unpublished += [
                Unpublished(ordinal=ordinal, temporary=temporary, target=target) for temporary, target in LEFT
            ]
        LEFT.clear()

    def _stop(self, batch: Batch, ordinal: int) -> None:
        self._hand_over(batch, ordinal)
        self._courier.say(Stopped(at=ordinal))

    def _failed(self, batch: Batch, ordinal: int, outcome: bytes, nanoseconds: int) -> bytes:
        attempt = SLOT[0][2] if SLOT[0] is not None else 1
        failure = parse_failure(outcome).model_copy(
            update={"worker": self._setup.worker, "attempt": attempt, "seconds": nanoseconds / 1e9}
        )
        batch.slips.append(Slip(ordinal=ordinal, cause=failure.cause, type=failure.type, summary=failure.summary))
        return failure_line(failure)


def main(channel: int, words: int) -> int:
    """Be a task process on two inherited descriptors until the agent closes the channel; return the exit status."""
    keep_to_itself(channel, words)
    faulthandler.enable(all_threads=False)  # the last lines are kept: let them be about what crashed
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    with socket.socket(fileno=channel) as connection, connection.makefile("rb") as source:
        received = read_frame(source)
        if received is None or not isinstance(received[0], Setup):
            return 1
        own = Words(words)
        os.register_at_fork(after_in_child=lambda: _let_go(connection, own))
        return _serve(received[0], connection, source, own)


def _let_go(connection: socket.socket, words: Words) -> None:
    """Take a forked process's hands off what is its parent's: one that comes back from a task ends here."""
    os.close(connection.detach())
    words.close()


def _serve(setup: Setup, connection: socket.socket, source: BinaryIO, words: Words) -> int:
    stand_as_child_of(setup.parent)
    try:
        library = Library(setup)
    except TaskGridError as error:
        connection.sendall(frame(Unfit(message=str(error))))
        return error.exit_status
    with contextlib.closing(library):
        TaskProcess(connection, words, setup, library).serve(source)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
