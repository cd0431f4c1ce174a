"""Selectors: what people write for jobs and tasks, and what the master is asked for."""

from __future__ import annotations

import pytest

from taskgrid.cli.selectors import Named, parse, parse_single, to_selector
from taskgrid.errors import UsageError
from taskgrid.transport.protocol import Selector


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("17", Named(17, 17)),
        ("17.42", Named(17, 17, ((42, 43),))),
        ("17.40-60", Named(17, 17, ((40, 61),))),
        ("5-8", Named(5, 8)),
        ("last", Named(word="last")),
        ("last.3-4", Named(word="last", runs=((3, 5),))),
        ("all", Named(word="all")),
    ],
)
def test_each_form_is_read(text: str, named: Named) -> None:
    """Every form of the glossary means what it says, both ends of a range included."""
    assert parse([text]) == (named,)


def test_commas_and_spaces_separate_alike() -> None:
    """`3,5-8 last` and `3 5-8,last` are the same three selectors."""
    expected = (Named(3, 3), Named(5, 8), Named(word="last"))
    assert parse(["3,5-8", "last"]) == parse(["3", "5-8,last"]) == expected


def test_tasks_of_one_job_come_together() -> None:
    """Two selectors of one job are one request, and the whole job swallows its tasks."""
    assert parse(["17.50,17.42"]) == (Named(17, 17, ((42, 43), (50, 51))),)
    assert parse(["17.42,17"]) == (Named(17, 17),)


@pytest.mark.parametrize("text", ["", "x", "17.", "17.a", "-3", "17.9-3", "8-5", "17..4", "lastt"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    """A slip is a usage error with a hint, never a guess about what to cancel."""
    with pytest.raises(UsageError) as refused:
        parse([text])
    assert refused.value.hint


@pytest.mark.parametrize("text", ["all", "3-5", "3,4"])
def test_a_command_for_one_job_refuses_several(text: str) -> None:
    """`explain` and `results` are about one job."""
    with pytest.raises(UsageError):
        parse_single(text)


def test_last_and_all_are_narrowed_to_their_owner() -> None:
    """The words mean the caller's own jobs; a number needs no owner."""
    assert to_selector(Named(word="last"), owner="me@here") == Selector(last=True, owner="me@here")
    assert to_selector(Named(word="all"), owner=None) == Selector(all=True)
    assert to_selector(Named(17, 17, ((1, 3),)), owner="me@here") == Selector(number=17, runs=((1, 3),))


def test_what_can_stand_for_several_jobs_says_so() -> None:
    """Bulk commands ask before they touch more than one job."""
    assert [one.many for one in parse(["3", "17.4", "5-8", "last", "all"])] == [False, False, True, False, True]
