"""Outcome lines become result lines."""

from __future__ import annotations

import json

from taskgrid.cli.outcomes import Outcomes, as_objects, as_values, failure_object, failure_text
from taskgrid.model import Cause, Failure, failure_line

FAILURE = Failure(cause=Cause.ERROR, type="builtins.ValueError", message="no", traceback="Traceback ...\n", worker="w1")


def test_each_task_is_one_object_with_address_item_and_value() -> None:
    """A line carries the address, the item as given, and the value as returned."""
    outcomes = Outcomes(17, 40, 43, [b'{"n": 1}', b"null", b"[1,2]"])
    lines = as_objects(outcomes, [b'["a"]', b'["a", 1]', b'{"x": 1}'])
    assert [json.loads(line) for line in lines] == [
        {"task": "17.40", "item": "a", "value": {"n": 1}},
        {"task": "17.41", "item": ["a", 1], "value": None},
        {"task": "17.42", "item": {"x": 1}, "value": [1, 2]},
    ]


def test_an_item_is_shown_as_it_was_given() -> None:
    """One argument stands bare, whatever it is; a comma within a string makes no second argument."""
    payloads = [b'["a\\", \\"b"]', b"[7]", b"[[1, 2]]", b"[]"]
    lines = as_objects(Outcomes(1, 0, 4, [b"1"] * 4), payloads)
    assert [json.loads(line)["item"] for line in lines] == ['a", "b', 7, [1, 2], []]


def test_a_failure_is_an_error_object() -> None:
    """Cause, type and message are what a program needs."""
    (line,) = as_objects(Outcomes(1, 0, 1, [failure_line(FAILURE)]), [b'["a"]'])
    assert json.loads(line)["error"] == {"cause": "error", "type": "builtins.ValueError", "message": "no"}


def test_cancelled_tasks_have_lines_too() -> None:
    """No item goes without a line."""
    outcomes = Outcomes(1, 0, 2, [])
    assert [json.loads(line)["error"]["cause"] for line in as_objects(outcomes, [b"[1]", b"[2]"])] == ["cancelled"] * 2
    assert as_values(outcomes) == [b"null", b"null"]


def test_bare_values_stay_lined_up_with_their_items() -> None:
    """With `--values` a failed task's line is null."""
    assert as_values(Outcomes(1, 0, 3, [b"1", failure_line(FAILURE), b'"x"'])) == [b"1", b"null", b'"x"']


def test_a_failure_can_be_read() -> None:
    """`--failed` shows task, worker, item and traceback; as JSON it keeps all fields."""
    text = failure_text("17.42", FAILURE, b'["a.log"]')
    assert text.startswith("17.42 failed (error, attempt 1 on w1): ValueError: no\n")
    assert '"a.log"' in text
    assert "Traceback" in text
    told = failure_object("17.42", FAILURE, b'["a.log"]')
    assert told["task"] == "17.42"
    assert told["item"] == "a.log"
    assert json.loads(json.dumps(told))["error"]["worker"] == "w1"
