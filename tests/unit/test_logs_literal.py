"""The text that every match must have: right where one is named, and named where it is plain to see."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.logs.literal import literal_in

PIECES = st.sampled_from(
    (
        *("abc", "a", "b", ".", "b*", "c?", "a+", "a+?", "b{0,2}", "{", "}", "]", "[ab]", "[^]a]", r"[\]a]", "^", "$"),
        *("é", "é?", r"\.", r"\*?", r"\x61bc", r"\d", "ab*c", "(abc)?", "a|b", "abc{0}", "[]abc]", r"\\"),
    )
)
TEXTS = st.text("abcé.]x0\\", max_size=12)


@settings(deadline=None, max_examples=500)
@given(st.lists(PIECES, max_size=5).map("".join), TEXTS)
def test_every_match_has_the_text(pattern: str, text: str) -> None:
    """Whatever the expression: a line without the text is no match."""
    try:
        expression = re.compile(pattern.encode())
    except re.error:
        return
    literal = literal_in(pattern)
    if literal is not None and expression.search(text.encode()):
        assert literal in text.encode()


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("robots.txt", b"robots"),
        (r"robots\.txt", b"robots.txt"),
        ("^ERROR.*timed? out$", b"ERROR"),
        (" 500 ", b" 500 "),
        ("[a-z]+@example", b"@example"),
        ("colou?r", b"colo"),
        ("x{3}", None),
        ("ab", None),
        ("error|warning", None),
        ("(?i)error", None),
        (r"\berror", None),
        ("line\nbreak", None),
    ],
)
def test_the_longest_text_that_is_sure_is_taken(pattern: str, literal: bytes | None) -> None:
    """None is better than a wrong one, and than one that is on most lines."""
    assert literal_in(pattern) == literal
