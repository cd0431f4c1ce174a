"""The text that every match must have: right where one is named, and named where it is plain to see."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.logs.literal import literals_in

PIECES = st.sampled_from(
    (
        *("abc", "a", "b", ".", "b*", "c?", "a+", "a+?", "b{0,2}", "{", "}", "]", "[ab]", "[^]a]", r"[\]a]", "^", "$"),
        *(
            "é",
            "é?",
            r"\.",
            r"\*?",
            r"\x61bc",
            r"\d",
            r"\b",
            r"\Bb",
            "ab*c",
            "(abc)?",
            "a|b",
            "abc{0}",
            "[]abc]",
            r"\\",
        ),
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
    if expression.search(text.encode()):
        assert all(literal in text.encode() for literal in literals_in(pattern))


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        ("robots.txt", [b"robots", b"txt"]),
        (r"robots\.txt", [b"robots.txt"]),
        ("^ERROR.*timed? out$", [b"ERROR", b"time", b" out"]),
        (" 500 ", [b" 500 "]),
        ("[a-z]+@example", [b"@example"]),
        ("colou?r", [b"colo"]),
        (r"\b404\b", [b"404"]),
        (r"\d+ms\s*late", [b"late"]),
        (r"abc\x41def", [b"abc"]),
        ("x{3}", []),
        ("ab", []),
        ("error|warning", []),
        ("(?i)error", []),
        ("line\nbreak", []),
    ],
)
def test_texts_that_are_sure_are_taken(pattern: str, literals: list[bytes]) -> None:
    """None is better than a wrong one, and than one that is on most lines."""
    assert literals_in(pattern) == literals
