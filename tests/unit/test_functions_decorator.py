"""`@task` and names: what a function says of itself, and which functions can be found by a worker."""

# ruff: noqa: D101, D103  # functions and classes as a user writes them

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from taskgrid.errors import FunctionRefused, UsageError
from taskgrid.functions import current_task, declared_version, name_of, options_of, set_current, task, title_of
from taskgrid.functions.naming import MAIN, main_name
from taskgrid.model import Backoff, TaskOptions


def plain(x: int) -> int:
    return x


@task
def bare(x: int) -> int:
    return x


@task(time_limit="90s", memory_limit="2GiB", max_attempts=3, backoff=5, priority=7, alone=True, name="n", version="v2")
def full(x: int) -> int:
    return x


def many() -> Iterator[int]:
    yield 1


class Holder:
    def method(self) -> None:
        """Do nothing."""


def replaced() -> None:
    """Be replaced."""


original = replaced
replaced = functools.wraps(replaced)(lambda: None)


def test_task_returns_the_function_itself() -> None:
    """A decorated function stays callable as before."""
    assert task(plain) is plain
    assert (bare(3), full(3)) == (3, 3)


def test_options_are_read_from_texts_and_numbers() -> None:
    """Limits may be written as people say them."""
    assert options_of(full) == TaskOptions(
        time_limit=timedelta(seconds=90),
        memory_limit=2 << 30,
        max_attempts=3,
        backoff=Backoff(first=timedelta(seconds=5)),
        priority=7,
        alone=True,
    )
    assert (title_of(full), declared_version(full)) == ("n", "v2")


def test_function_without_task_has_the_default_options() -> None:
    """The decorator is not needed."""
    assert options_of(plain) == TaskOptions()
    assert (title_of(plain), declared_version(plain)) == ("plain", "")


@pytest.mark.parametrize(
    "options",
    [
        {"time_limit": "soon"},
        {"time_limit": "90"},
        {"time_limit": 0},
        {"time_limit": timedelta(0)},
        {"time_limit": float("nan")},
        {"time_limit": float("inf")},
        {"memory_limit": "2 elephants"},
        {"memory_limit": -1},
        {"max_attempts": 0},
        {"priority": 1000},
        {"time_limits": 3},
    ],
)
def test_nonsense_is_refused_where_it_is_written(options: dict[str, Any]) -> None:
    """A wrong option fails at import, not in a worker."""
    with pytest.raises(UsageError):
        task(**options)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("250ms", 0.25), (" 2 D ", 172800), ("1.5min", 90)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """Units may be combined, and case does not matter."""
    assert options_of(task(time_limit=text)(lambda: None)).time_limit == timedelta(seconds=seconds)


def test_a_module_level_function_is_named_by_module_and_qualname() -> None:
    """The name leads back to the function."""
    assert name_of(plain) == f"{__name__}:plain"


def _nested() -> Callable[..., Any]:
    def inner() -> None:
        """Do nothing."""

    return inner


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda: None, "def"),
        (_nested(), "top level of its module"),
        (functools.partial(plain, 1), "def"),
        (Holder().method, "module-level"),
        (Holder.method, "top level"),
        (len, "Wrap it"),
        (Holder, "module-level function"),
        (many, "list"),
        (original, "stands under that name"),
    ],
)
def test_what_no_worker_could_find_is_refused_with_what_to_do(function: Callable[..., Any], says: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(FunctionRefused) as caught:
        name_of(function)
    assert says in caught.value.hint


def test_a_script_is_called_after_its_file(tmp_path: Any) -> None:
    """A name that another module has, or that is none, is not taken."""
    assert main_name(tmp_path / "work.py") == "work"
    assert {main_name(tmp_path / name) for name in ("json.py", "my-work.py", "work", "taskgrid.py")} == {MAIN}


def test_current_task_describes_what_runs() -> None:
    """The descriptor is there while a task runs, and only then."""
    set_current((17, 42, 2, 1_700_000_000.0, "m:f", b"[1]"))
    descriptor = current_task()
    set_current(None)
    assert (descriptor.address, descriptor.attempt, descriptor.payload) == ("17.42", 2, "[1]")
    assert descriptor.deadline is not None
    assert descriptor.deadline.timestamp() == 1_700_000_000.0
    with pytest.raises(UsageError):
        current_task()
