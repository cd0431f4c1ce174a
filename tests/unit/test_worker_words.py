"""The shared words, the frames beside them, and the end of what a child printed."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgrid.model import Cause, JobNumber
from taskgrid.worker.death import Killing, Reason, blame
from taskgrid.worker.frames import (
    Assignment,
    FrameReader,
    Nonsense,
    Outcomes,
    Ready,
    Slip,
    Stopped,
    frame,
    read_frame,
)
from taskgrid.worker.output import MOST_BYTES, Tail
from taskgrid.worker.positions import indices, part
from taskgrid.worker.process import Death
from taskgrid.worker.words import AT, LIMIT, NO_LIMIT, SINCE, Words, new_words


@pytest.fixture
def words() -> Iterator[Words]:
    """Give the words of a child that has begun nothing."""
    descriptor = new_words()
    words = Words(descriptor)
    os.close(descriptor)
    yield words
    words.close()


def test_a_new_child_runs_nothing_and_has_no_limit(words: Words) -> None:
    """Its death at this point blames no task."""
    assert (words.running(), words.unbegun(), words.view[LIMIT]) == (None, 0, NO_LIMIT)


def test_the_words_name_the_running_task_and_the_next_one(words: Words) -> None:
    """While a task runs the next ordinal is unbegun; between two tasks the negative word says which is next."""
    words.view[SINCE], words.view[AT] = 123, 7
    assert (words.running(), words.unbegun()) == ((7, 123), 8)
    words.view[AT] = ~8
    assert (words.running(), words.unbegun()) == (None, 8)


def test_frames_survive_any_cutting_of_the_stream() -> None:
    """The agent reads what comes, byte by byte if need be."""
    slip = Slip(ordinal=4, cause=Cause.ERROR, type="builtins.ValueError", summary="no")
    outcomes = Outcomes(first=3, count=2, slips=(slip,), nanoseconds=5, durations=((2, 1),))
    stream = frame(Ready()) + frame(outcomes, b"1\n!{}") + frame(Stopped(at=9))
    reader = FrameReader()
    found = [each for at in range(len(stream)) for each in reader.feed(stream[at : at + 1])]
    assert found == [(Ready(), b""), (outcomes, b"1\n!{}"), (Stopped(at=9), b"")]
    assert list(FrameReader().feed(stream)) == found


def test_a_frame_that_ends_early_is_the_end() -> None:
    """A child whose agent died in the middle of a frame runs none of it."""
    assignment = Assignment(first=0, job=JobNumber(1), function="m:f", runs=((0, 2),), attempts={1: 2})
    whole = frame(assignment, b"[1]\n[2]")
    assert read_frame(io.BytesIO(whole)) == (assignment, b"[1]\n[2]")
    assert read_frame(io.BytesIO(whole[:-1])) is None
    assert read_frame(io.BytesIO(whole[:3])) is None


def test_what_is_no_frame_is_nonsense() -> None:
    """User code that writes into the channel is found out."""
    with pytest.raises(Nonsense):
        list(FrameReader().feed(b"\x02\x00\x00\x00\x00\x00\x00\x00{}"))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=5), st.integers(0, 20), st.integers(0, 20))
def test_a_part_of_runs_is_what_lies_at_those_positions(pieces: list[tuple[int, int]], start: int, size: int) -> None:
    """Positions count through all runs."""
    runs = tuple((low * 10, low * 10 + length) for low, length in pieces)
    assert [*indices(part(runs, start, start + size))] == [*indices(runs)][start : start + size]


def test_the_tail_keeps_the_last_lines_and_stays_small() -> None:
    """However much is printed, a few kibibytes are kept."""
    tail = Tail()
    for number in range(100_000):
        tail.add(b"line %d\n" % number)
    assert tail.text().splitlines() == [f"line {number}" for number in range(99_980, 100_000)]
    tail.add(b"x" * (MOST_BYTES * 3))
    assert tail.text() == "x" * MOST_BYTES


KILLED, EXITED = Death(None, "SIGKILL", 0), Death(3, "", 0)


@pytest.mark.parametrize(
    ("killing", "death", "oom", "cause"),
    [
        (None, EXITED, False, Cause.CRASH),
        (None, KILLED, False, Cause.CRASH),
        (None, KILLED, True, Cause.MEMORY),
        (None, EXITED, True, Cause.CRASH),
        (Killing(Reason.TIME_LIMIT, 5), KILLED, False, Cause.TIME_LIMIT),
        (Killing(Reason.MEMORY, 5), KILLED, False, Cause.MEMORY),
        (Killing(Reason.TIME_LIMIT, 4), KILLED, False, None),
        (Killing(Reason.DROPPED), KILLED, True, None),
        (Killing(Reason.RETIRED), KILLED, False, None),
    ],
)
def test_only_the_task_that_a_child_died_for_is_blamed(
    killing: Killing | None, death: Death, oom: bool, cause: Cause | None
) -> None:
    """Task 5 runs; it is spared if the child was killed for another one or for no task's sake."""
    assert blame(5, killing, death, oom=oom) is cause
