"""Matching lines, in order, with where they stand: whatever the expression, as if each line were asked."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.errors import UsageError
from taskgrid.logs.searching import Match, Matches, grep

PATTERNS = (
    "a",
    "",
    "^",
    "$",
    "^$",
    "^a",
    "b$",
    "^a.*b$",
    "a|b",
    r"\s",
    r"\s*",
    r"\s+a",
    r"a\s",
    r"a\s*$",
    r"a\s*+$",
    "[^a]",
    "[^a]+b",
    "a[^b]*b",
    "(?s:a.b)",
    "a(?!b)",
    r"a(?!\s)",
    "(?<=a)b",
    r"(?<!\s)b",
    r"\Aa",
    r"b\Z",
    r"\bab\b",
    r"\B",
    r"\Ba",
    r"(a)\1",
    r"(?P<x>a).*(?P=x)",
    r"\W",
    r"\D+b",
    "a{2}",
    "a??b",
    "(?i:A)B?",
    "(?>a*)b",
    "é",
    r"\xff",
    "^aab",
    ".aab",
    r".*aab\s",
    "[ab]*aab$",
    "^.?aab[^b]",
)
LINES = st.lists(
    st.text("ab \té\r", max_size=6).map(str.encode) | st.sampled_from([b"\xff", b"aab", b"baab", b""]), max_size=8
)


def by_line(block: bytes, pattern: str) -> list[tuple[int, bytes]]:
    """Ask line by line: what is to be found."""
    found, offset = [], 0
    for line in block.split(b"\n")[:-1]:
        if re.search(pattern.encode(), line):
            found.append((offset, line))
        offset += len(line) + 1
    return found


@settings(deadline=None, max_examples=300)
@given(LINES, st.sampled_from(PATTERNS))
def test_a_block_is_searched_as_if_each_line_were_asked(lines: list[bytes], pattern: str) -> None:
    """Anchors, looks around and sets that hold a newline find what they find in a line, and nothing across lines."""
    block = b"".join(line + b"\n" for line in lines)
    found = grep([block], pattern)
    expected = by_line(block, pattern)
    assert [match.offset for match in found.found] == [offset for offset, _ in expected]
    assert (found.hits, found.lines) == (len(expected), len(lines))


@settings(deadline=None)
@given(st.data())
def test_matches_add_up_whatever_the_split(data: st.DataObject) -> None:
    """Blocks of their own, merged in any order, give what one search gives; the first of them stay."""
    lines = [b"%d\n" % number for number in data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=20))]
    limit = data.draw(st.integers(0, 6))
    parts, offset = [], 0
    for line in lines:
        parts.append(grep([line], "1", source="log", offset=offset, limit=limit))
        offset += len(line)
    assert Matches.merge(data.draw(st.permutations(parts))) == grep(lines, "1", source="log", limit=limit)
    assert parts[0] + Matches(limit=limit) == parts[0]


def test_matches_say_where_they_are() -> None:
    """The offset is that of the line's first byte; the line comes without its end."""
    found = grep([b"one\r\ntwo\n", b"tw\xff\nthree"], "tw|three", source="f", offset=100)
    assert found.found == (
        Match(source="f", offset=105, line="two"),
        Match(source="f", offset=109, line="tw\\xff"),
        Match(source="f", offset=113, line="three"),
    )
    assert (found.lines, found.hits) == (4, 3)


def test_sources_come_in_order() -> None:
    """By name, then by offset, whichever came first."""
    parts = [grep([b"x\nx\n"], "x", source=source) for source in ("b", "a")]
    assert [(match.source, match.offset) for match in Matches.merge(parts).found] == [
        ("a", 0),
        ("a", 2),
        ("b", 0),
        ("b", 2),
    ]


def test_case_can_be_ignored() -> None:
    """As `grep -i`."""
    assert grep([b"ERROR\n"], "error").hits == 0
    assert grep([b"ERROR\n"], "error", ignore_case=True).hits == 1


def test_what_is_no_expression_is_said_to_be_none() -> None:
    """The error has the expression and the reason."""
    with pytest.raises(UsageError, match=r"not a regular expression: \("):
        grep([b"x\n"], "(")
