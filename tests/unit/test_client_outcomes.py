"""How outcome lines become values and exception objects."""

from __future__ import annotations

from concurrent.futures import CancelledError

import pytest

from taskgrid.client.outcomes import decode, errors, has_failure
from taskgrid.errors import TaskCrashed, TaskFailed
from taskgrid.functions import NamedSignature
from taskgrid.model import Cause, Failure, JobNumber, failure_line
from taskgrid.transport.protocol import OutcomeRun

CODEC = NamedSignature("m:f")
JOB = JobNumber(17)
BAD = failure_line(Failure(cause=Cause.ERROR, type="builtins.ValueError", message="no", traceback="Traceback: there"))


def test_a_part_without_failures_gives_its_values() -> None:
    """Values stand in order of index."""
    batch = decode(CODEC, JOB, OutcomeRun(first=3, count=3), b'1\n"!"\n[2,null]')
    assert (batch.outcomes, batch.mixed, batch.first_error()) == ([1, "!", [2, None]], False, None)


def test_what_was_given_before_is_left_out() -> None:
    """A row that begins before the cursor gives its remaining tasks only."""
    assert decode(CODEC, JOB, OutcomeRun(first=0, count=3), b"1\n2\n3", 2).outcomes == [3]
    assert decode(CODEC, JOB, OutcomeRun(first=0, count=2), b"1\n" + BAD, 1).first_error() == 0


@pytest.mark.parametrize("part", [BAD, b"1\n" + BAD, BAD + b"\n1"])
def test_a_failure_shows_wherever_it_stands(part: bytes) -> None:
    """Nobody parses a line to tell."""
    assert has_failure(part)


def test_an_exclamation_mark_inside_a_value_is_no_failure() -> None:
    """Only the first byte of a line counts."""
    assert not has_failure(b'"!a"\n["!"]')


def test_a_built_in_exception_comes_back_as_itself_with_the_remote_traceback_as_cause() -> None:
    """The caller can catch what the function raised."""
    batch = decode(CODEC, JOB, OutcomeRun(first=0, count=2), b"1\n" + BAD)
    error = batch.outcomes[batch.first_error() or 0]
    assert (type(error), str(error)) == (ValueError, "no")
    assert "there" in str(error.__cause__)


def test_other_failures_name_their_task() -> None:
    """A crash is a TaskCrashed with the task's address."""
    crash = failure_line(Failure(cause=Cause.CRASH, signal="SIGSEGV"))
    (error,) = decode(CODEC, JOB, OutcomeRun(first=5, count=1), crash).outcomes
    assert (type(error), error.task) == (TaskCrashed, "17.5")


def test_cancelled_tasks_give_cancelled_errors() -> None:
    """A cancelled run has no lines."""
    batch = decode(CODEC, JOB, OutcomeRun(first=0, count=2, cancelled=True), b"")
    assert [type(outcome) for outcome in batch.outcomes] == [CancelledError, CancelledError]


def test_a_value_that_does_not_fit_here_spoils_its_own_place_only() -> None:
    """One line that can't be read costs no neighbour its value."""
    batch = decode(CODEC, JOB, OutcomeRun(first=0, count=3), b"1\n{nonsense\n3")
    assert [type(outcome) for outcome in batch.outcomes] == [int, TaskFailed, int]
    assert batch.first_error() == 1


def test_errors_are_found_without_decoding_values() -> None:
    """`failures()` reads past values, even those that can't be read here."""
    found = errors(JOB, OutcomeRun(first=7, count=3), b"{nonsense\n" + BAD + b"\n1")
    assert [(index, type(error)) for index, error in found] == [(8, ValueError)]
