"""Merging values: whose function may be called with them, and what comes of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest

from taskgrid.errors import FunctionRefused
from taskgrid.functions.reduction import Merging, add_up


def words(number: int) -> str:
    """Return what a job's tasks may return."""
    return str(number)


def third(number: int) -> float:
    """Return a float."""
    return number / 3


def run(what: Literal["a", "b"]) -> str:
    """Run one of two programs: its annotation is its guard."""
    raise AssertionError(f"it was called with {what}")


def run_some(what: list[Literal["a", "b"]]) -> str:
    """Likewise, some of them."""
    return "".join(what)


def join(parts: list[str]) -> str:
    """Put texts together."""
    return "+".join(parts)


def total(parts: Sequence[float]) -> float:
    """Add up."""
    return sum(parts)


def anything(parts) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001  # what is tried here
    """Take whatever comes."""
    return "".join(parts)


def nothing() -> str:
    """Take nothing."""
    return ""


def program(parts: subprocess.Popen[bytes]) -> str:
    """Take what no value can be."""
    raise AssertionError


@pytest.mark.parametrize(
    ("function", "merge", "lines", "merged"),
    [
        (words, join, [b'"x"', b'"y"'], b'"x+y"'),
        (words, add_up, [b'"x"', b'"y"'], b'"xy"'),
        (words, anything, [b'"x"', b'"y"'], b'"xy"'),
        (third, total, [b"0.5", b"1.5"], b"2.0"),
        (words, run, [b'"rm"', b'"-rf"'], None),
        (words, run_some, [b'"rm"', b'"-rf"'], None),
        (words, run_some, [b'"a"', b'"b"'], b'"ab"'),
        (third, join, [b"0.5", b"1.5"], None),
        (words, len, [b'"x"', b'"y"'], None),
    ],
)
def test_a_function_merges_what_its_annotations_let_in(
    function: Callable[..., Any], merge: Callable[..., Any], lines: list[bytes], merged: bytes | None
) -> None:
    """Naming it as a reduction gets nobody further than naming it as a job's function: else nothing is merged there."""
    assert Merging(function, merge, 1000).merged(lines) == merged


@pytest.mark.parametrize("merge", [nothing, program])
def test_a_function_that_can_merge_nothing_is_refused(merge: Callable[..., Any]) -> None:
    """Before any value comes."""
    with pytest.raises(FunctionRefused):
        Merging(words, merge, 1000)


def test_what_is_too_large_is_not_merged() -> None:
    """Its parts were not: they go singly."""
    assert Merging(words, join, 5).merged([b'"x"', b'"y"']) == b'"x+y"'
    assert Merging(words, join, 4).merged([b'"x"', b'"y"']) is None
