"""One attempt: every way a call can end becomes one line, and that line an exception again."""

# ruff: noqa: D101, D103  # functions and classes as a user writes them

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, BeforeValidator, TypeAdapter

from taskgrid import errors
from taskgrid.functions import Runner, exception_of
from taskgrid.functions.failures import MAX_TEXT
from taskgrid.model import Cause, Failure, parse_failure


class Model(BaseModel):
    n: int


@dataclasses.dataclass
class Loose:
    n: int


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def double(n: int) -> int:
    return 2 * n


def invalid_inside(n: int) -> int:
    return TypeAdapter(int).validate_python("q" * n)


def _checked(value: object) -> object:
    return TypeAdapter(int).validate_python(value)


def checked(n: Annotated[Any, BeforeValidator(_checked)]) -> int:
    return int(n)


def raising(kind: str) -> None:  # noqa: C901  # a list of ways to end
    if kind == "key":
        raise KeyError("missing", 3)
    if kind == "os":
        Path("/nonexistent/it's").read_text()
    if kind == "unicode":
        b"\xff".decode()
    if kind == "exit":
        raise SystemExit(3)
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "stop":
        raise StopIteration("x")
    if kind == "own":
        raise Unprintable
    if kind == "surrogate":
        raise ValueError("\udcff")
    if kind == "long":
        raise ValueError("x" * 10 * MAX_TEXT)
    if kind == "recursion":
        raising(kind)
    raise ValueError("no", kind)


async def later(n: int) -> int:
    await asyncio.sleep(0)
    if n < 0:
        raise ValueError("negative")
    return n + 1


same: list[int] = []


def grows(n: int) -> list[int]:
    same.append(n)
    return same


def says_int(what: Any) -> int:
    return {"text": "x", "digits": "5", "none": None, "true": True}[what]  # type: ignore[return-value]  # the point


def says_loose() -> Loose:
    return Loose("x")  # type: ignore[arg-type]  # the point


def says_none() -> None:
    return 3  # type: ignore[return-value]  # the point


def large(n: int) -> str:
    return "x" * n


def failure(function: Callable[..., Any], line: bytes) -> Failure:
    """Run to a failure."""
    with Runner(function) as runner:
        outcome = runner.run(line)
    assert outcome.startswith(b"!"), outcome
    assert b"\n" not in outcome
    return parse_failure(outcome)


def test_arguments_by_position_and_by_name() -> None:
    """An array and an object are the two forms of a payload."""
    with Runner(double) as runner:
        assert (runner.run(b"[3]"), runner.run(b'{"n":4}')) == (b"6", b"8")


@pytest.mark.parametrize("line", [b'["x"]', b"[]", b"[1,2]", b'{"m":1}', b"5", b"{", b'{"*":[1,2],"n":1}'])
def test_bad_arguments_never_enter_the_function(line: bytes) -> None:
    """The cause says that the function was not to blame."""
    assert failure(double, line).cause is Cause.BAD_ARGUMENTS


def test_a_validation_error_from_inside_the_function_is_the_users() -> None:
    """It looks the same, but the function was entered."""
    found = failure(invalid_inside, b"[3]")
    assert found.cause is Cause.ERROR
    assert "in invalid_inside" in found.traceback


def test_a_validator_that_validates_further_leaves_the_arguments_bad() -> None:
    """A ValidationError inside a check of an argument is still a check of an argument."""
    assert failure(checked, b'["q"]').cause is Cause.BAD_ARGUMENTS


@pytest.mark.parametrize(
    ("kind", "type_", "text"),
    [
        ("key", "builtins.KeyError", "('missing', 3)"),
        ("os", "builtins.FileNotFoundError", '[Errno 2] No such file or directory: "/nonexistent/it\'s"'),
        ("exit", "builtins.SystemExit", "3"),
        ("interrupt", "builtins.KeyboardInterrupt", ""),
        ("own", f"{__name__}.Unprintable", "<its message can't be shown: __str__ raised RuntimeError>"),
        ("surrogate", "builtins.ValueError", "\\udcff"),
    ],
)
def test_whatever_a_task_raises_is_its_outcome(kind: str, type_: str, text: str) -> None:
    """Also what would end a process, and what can't be printed."""
    found = failure(raising, f'["{kind}"]'.encode())
    assert (found.cause, found.type, found.message) == (Cause.ERROR, type_, text)
    assert "in raising" in found.traceback
    assert "taskgrid/functions" not in found.traceback


@pytest.mark.parametrize("kind", ["long", "recursion"])
def test_long_texts_are_cut(kind: str) -> None:
    """A failure travels in one frame."""
    found = failure(raising, f'["{kind}"]'.encode())
    assert len(found.message) <= MAX_TEXT
    assert len(found.traceback) <= MAX_TEXT


def test_async_functions_run_to_completion() -> None:
    """One loop serves all calls, and the traceback begins in the user's code."""
    with Runner(later) as runner:
        assert [runner.run(b"[1]"), runner.run(b"[2]")] == [b"2", b"3"]
        found = parse_failure(runner.run(b"[-1]"))
    assert found.type == "builtins.ValueError"
    assert "asyncio" not in found.traceback
    assert failure(later, b'["x"]').cause is Cause.BAD_ARGUMENTS


def test_values_are_written_as_each_call_ends() -> None:
    """A function may return the same list each time."""
    with Runner(grows) as runner:
        assert [runner.run(b"[1]"), runner.run(b"[2]")] == [b"[1]", b"[1,2]"]


def test_values_are_checked_against_the_return_annotation() -> None:
    """What the caller reads is what the annotation says."""
    with Runner(says_int) as runner:
        assert (runner.run(b'["digits"]'), runner.run(b'["true"]')) == (b"5", b"1")
    for function, line in ((says_int, b'["text"]'), (says_int, b'["none"]'), (says_loose, b"[]"), (says_none, b"[]")):
        assert failure(function, line).cause is Cause.BAD_RESULT


def test_a_value_over_the_limit_says_where_to_put_it() -> None:
    """Results are small; data goes to storage."""
    with Runner(large, max_result=100) as runner:
        assert runner.run(b"[98]") == b'"' + b"x" * 98 + b'"'
        found = parse_failure(runner.run(b"[99]"))
    assert found.cause is Cause.BAD_RESULT
    assert "shared storage" in found.message


@pytest.mark.parametrize(
    ("kind", "type_"), [("key", KeyError), ("os", FileNotFoundError), ("recursion", RecursionError)]
)
def test_an_exception_of_python_comes_back_as_itself(kind: str, type_: type[Exception]) -> None:
    """Its arguments too where its message tells them, and the remote traceback as its cause."""
    error = exception_of(failure(raising, f'["{kind}"]'.encode()), "17.42")
    assert type(error) is type_
    assert "in raising" in str(error.__cause__)
    assert error.__notes__ == ["in task 17.42"]
    if kind == "os":
        assert isinstance(error, FileNotFoundError)
        assert (error.errno, error.filename) == (2, "/nonexistent/it's")


@pytest.mark.parametrize("kind", ["unicode", "exit", "interrupt", "stop", "own"])
def test_any_other_exception_comes_back_as_task_failed(kind: str) -> None:
    """Nothing of the user's is imported, and nothing that would end the caller is raised."""
    found = failure(raising, f'["{kind}"]'.encode())
    error = exception_of(found, "17.42")
    assert type(error) is errors.TaskFailed
    assert (error.type, error.task, error.cause) == (found.type, "17.42", "error")
    assert "17.42" in error.message


@pytest.mark.parametrize(
    "type_", ["builtins.eval", "builtins.NoSuch", "os.system", "builtins.int", "x", "", "builtins."]
)
def test_a_type_from_the_wire_is_never_more_than_a_built_in_exception(type_: str) -> None:
    """A name that arrives is looked up in one place only."""
    assert type(exception_of(Failure(cause=Cause.ERROR, type=type_, message="1"), "1.1")) is errors.TaskFailed


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (Cause.CRASH, errors.TaskCrashed),
        (Cause.TIME_LIMIT, errors.TimeLimitExceeded),
        (Cause.MEMORY, errors.MemoryLimitExceeded),
        (Cause.LOST_WORKER, errors.WorkerLost),
        (Cause.BAD_ARGUMENTS, errors.TaskFailed),
        (Cause.BAD_RESULT, errors.TaskFailed),
    ],
)
def test_each_cause_has_its_exception(cause: Cause, kind: type[errors.TaskFailed]) -> None:
    """A caller can tell a crash from a time limit."""
    assert type(exception_of(Failure(cause=cause), "1.1")) is kind
