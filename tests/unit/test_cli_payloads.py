"""Items and lines become payloads; what can't be one is named."""

from __future__ import annotations

import json

import pytest

from taskgrid.cli.payloads import checked_function, payload_batches
from taskgrid.errors import FunctionRefused, UsageError


def payloads(items: list[str], *, jsonl: bool) -> list[bytes]:
    """Return the payloads of items, gathered two at a time."""
    return [line for batch in payload_batches(items, jsonl=jsonl, most=2) for line in batch]


def test_an_item_is_the_one_argument() -> None:
    """Each item is a JSON array of one string, whatever is in it."""
    lines = payloads(["a", 'q"\\', "\n", "ä", "7"], jsonl=False)
    assert [json.loads(line) for line in lines] == [["a"], ['q"\\'], ["\n"], ["ä"], ["7"]]
    assert not any(b"\n" in line for line in lines)


def test_a_jsonl_line_is_the_payload() -> None:
    """Arrays and objects pass as they are."""
    assert payloads(['["a", 1]', '{"x": 2}'], jsonl=True) == [b'["a", 1]', b'{"x": 2}']


@pytest.mark.parametrize("text", ["7", '"a"', "null", "{", "[1,"])
def test_a_jsonl_line_that_is_no_payload_is_named(text: str) -> None:
    """The error says which line, and what a line should be."""
    with pytest.raises(UsageError, match="line 2") as refused:
        payloads(["[1]", text], jsonl=True)
    assert "by" in refused.value.hint


@pytest.mark.parametrize("name", ["mod:fn", "a.b.c:d", "a:B.c", "ä:ö"])
def test_a_function_is_named_by_module_and_name(name: str) -> None:
    """`module:qualname` is a name."""
    assert checked_function(name) == name


@pytest.mark.parametrize("name", ["fn", "a.b", "a:", ":b", "a:b()", "a b:c", "a:<lambda>"])
def test_what_names_no_function_is_refused(name: str) -> None:
    """A name that no worker could offer never becomes a job."""
    with pytest.raises(FunctionRefused):
        checked_function(name)


def test_a_dotted_name_is_corrected() -> None:
    """The likeliest slip gets the likeliest correction."""
    with pytest.raises(FunctionRefused) as refused:
        checked_function("pkg.mod.fn")
    assert "pkg.mod:fn" in refused.value.hint
