"""What a line is, and that the quick way of counting lines never differs from the exact one."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.functions.offers import Offers
from taskgrid.lines import columns, marks
from taskgrid.lines.columns import Columns
from taskgrid.lines.patterns import COLUMNS
from taskgrid.logs.formats import FORMATS, split

COMBINED = (
    b'203.0.113.7 - - [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 512 "http://x/" "Mozilla/5.0 (X11)"\n'
)
COMMON = b'127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326\n'
LINES = (
    COMBINED,
    COMMON,
    COMBINED.replace(b"\n", b"\r\n"),
    COMMON.replace(b"\n", b"\r\n"),
    COMBINED.replace(b" 512 ", b" - "),
    COMMON.replace(b"2326", b"-"),
    COMBINED.replace(b"203.0.113.7", b"2001:db8::7"),
    COMBINED.replace(b"\n", b' "-" 0.013\n'),
    COMBINED.replace(b"Mozilla", b'say \\"hi\\" Mozilla'),
    COMBINED.replace(b"/a?b=c", b'/a\\"b'),
    COMBINED.replace(b"/a?b=c", b"/a\\\\"),
    COMBINED.replace(b"/a?b=c", b"/\xff\xfe\xc3"),
    COMBINED.replace(b"GET /a?b=c HTTP/1.1", b"-"),
    COMBINED.replace(b"GET /a?b=c HTTP/1.1", b""),
    COMBINED.replace(b"- - [", b"- John Doe ["),
    COMBINED.replace(b"+0000", b"+0530"),
    COMBINED.replace(b"17/May", b"18/May"),
    COMBINED.replace(b"2015:1", b"2016:1"),
    COMBINED.replace(b":10:05", b":11:05"),
    COMBINED.replace(b"203.0.113.7", b"a b"),
    COMBINED.replace(b"203.0.113.7 ", b""),
    COMBINED.replace(b" 512 ", b" 1234567 "),
    COMBINED.replace(b" 512 ", b" 12345678 "),
    COMBINED.replace(b" 512 ", b" 123456789012345678 "),
    COMBINED.replace(b'" "', b'"  "'),
    COMBINED.replace(b'(X11)"', b"(X11)"),
    COMBINED[: COMBINED.index(b"Mozilla") + 3] + b"\n",
)
BAD = (
    b"\n",
    b"\r\n",
    b"not a log line\n",
    b"\x16\x03\x01\x00\xff\n",
    b'"""""\n',
    b" " + COMBINED,
    COMBINED[:60] + b"\n",
    COMBINED.replace(b" 200 ", b" 20 "),
    COMBINED.replace(b" 200 ", b" 2x0 "),
    COMBINED.replace(b" 512 ", b" 5_1 "),
    COMBINED.replace(b" 512 ", b" " + b"9" * 19 + b" "),
    COMBINED.replace(b"May", b"Mai"),
    COMBINED.replace(b"17/May", b"32/May"),
    COMBINED.replace(b"10:05:03", b"10:05 03"),
    COMBINED.replace(b"[17", b"(17"),
    COMBINED.replace(b"] ", b"]_"),
    COMBINED.replace(b'" 200', b'"_200'),
    COMBINED.replace(b"200 512", b"200_512"),
    COMBINED.replace(b" 512 ", b"  "),
    COMBINED.replace(b" 512 ", b" -5 "),
    COMBINED.replace(b"203.0.113.7", b""),
    COMBINED.replace(b":10:05", b":24:05"),
    COMBINED.replace(b"+0000", b"UTC"),
    COMBINED.replace(b"- - [", b"["),
    COMBINED.replace(b'"GET', b"GET"),
    COMMON.replace(b"2326", b"2326x"),
    COMBINED.replace(b"HTTP/1.1", b"HTTP/1.1\\"),
)

INSERTS = (
    b"",
    b'"',
    b"\n",
    b"\r\n",
    b" ",
    b"[",
    b"]",
    b"\\",
    b":",
    b"-",
    b"\r",
    b"\x00",
    b'" 200 1 "',
    b' "a" "b"',
    b"+0100",
)
WAYS = ("vectors", "quick", "exact")


def counted(block: bytes, way: str = "") -> dict[str, object]:
    """Count a block, in earnest or one way only."""
    with ExitStack() as patches:
        if way in {"quick", "exact"}:
            patches.enter_context(patch.object(columns, "vectorised", return_value=None))
        if way == "exact":
            patches.enter_context(patch.object(columns, "quickly", return_value=(None, block)))
        found = Columns()
        found.add(block)
    return vars(found)


def read_by_line(block: bytes, column: str) -> Counter[bytes]:
    """Count a column as its definition says."""
    records = (FORMATS["access"].read(line) for line in split(block))
    values = (record[column] for record in records if record is not None)
    return Counter(value for value in values if value is not None)


def test_without_the_extra_the_slower_ways_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without numpy reads the same, and its worker starts."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    for name in [name for name in sys.modules if name.startswith("taskgrid.lines.") and name != columns.__name__]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("taskgrid.lines.vectors", raising=False)
    columns.vectorised.cache_clear()
    try:
        assert columns.vectorised() is None
        assert columns.lines_in(COMBINED * 2) == 2
        assert counted(COMBINED * 2) == counted(COMBINED * 2, "exact")
        assert Offers.of(["taskgrid.logs"]).names()
    finally:
        columns.vectorised.cache_clear()


def test_the_vectorised_way_is_tested_here() -> None:
    """The tests of this file compare it with the others, so it must be there."""
    assert columns.vectorised() is not None


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_begins_as_the_common_log_format_is_good(line: bytes) -> None:
    """What follows the common part is not looked at, so longer formats and cut-off agents count."""
    assert counted(line)["good"] == 1


@pytest.mark.parametrize("line", BAD)
def test_any_other_line_is_bad(line: bytes) -> None:
    """A line that can't be trusted adds to the bad lines and to nothing else."""
    found = Columns()
    found.add(line)
    assert (found.lines, found.good, found.size) == (1, 0, 0)
    assert not found.clients + found.requests + found.statuses + found.hits
    assert not found.referrers + found.agents + found.errors


def test_fields_are_taken_from_where_they_stand() -> None:
    """Client, hour with zone, request, status and size are those of the line."""
    found = Columns()
    found.add(COMBINED + COMMON)
    assert found.clients == {b"203.0.113.7": 1, b"127.0.0.1": 1}
    assert found.hits == {b"17/May/2015:10+0000": 1, b"10/Oct/2000:13-0700": 1}
    assert found.requests == {b"GET /a?b=c HTTP/1.1": 1, b"GET /apache_pb.gif HTTP/1.0": 1}
    assert found.statuses == {b"200": 2}
    assert found.size == 512 + 2326


def test_a_request_cannot_pass_for_another_status() -> None:
    r"""A client that sends `" 200 1 "` is logged with escaped quotes: its line keeps its real status."""
    found = Columns()
    found.add(COMBINED.replace(b'/a?b=c HTTP/1.1" 200 512', b'/\\" 200 1 \\"x HTTP/1.1" 404 9'))
    assert found.statuses == {b"404": 1}
    assert found.size == 9


def test_words_before_a_good_line_are_a_line_of_their_own() -> None:
    """The quick pattern may run over a line's end; such a block is not taken for fewer, longer lines."""
    found = Columns()
    found.add(COMBINED + b"not a log line\n" + COMBINED)
    assert (found.lines, found.good) == (3, 2)
    assert found.clients == {b"203.0.113.7": 2}


def test_referrer_and_agent_are_there_or_not() -> None:
    """A common line has neither, and a line that is cut within them neither; an empty one is one."""
    cut = COMBINED[: COMBINED.index(b"Mozilla") + 3] + b"\n"
    empty = COMBINED.replace(b"http://x/", b"")
    for way in WAYS:
        found = counted((COMBINED + COMMON + cut + empty) * 3, way)
        assert found["referrers"] == {b"http://x/": 3, b"": 3}
        assert found["agents"] == {b"Mozilla/5.0 (X11)": 6}


def test_errors_are_statuses_with_their_requests() -> None:
    """What went wrong is counted with what was asked for."""
    missing = COMBINED.replace(b" 200 ", b" 404 ")
    for way in WAYS:
        assert counted((COMBINED + missing) * 3, way)["errors"] == {b"404 GET /a?b=c HTTP/1.1": 3}


@settings(deadline=None)
@given(st.lists(st.sampled_from(LINES + BAD), min_size=1, max_size=30))
def test_all_ways_agree_on_any_mix_of_lines(lines: list[bytes]) -> None:
    """A good line between bad ones counts once, whichever way its block is read."""
    block = b"".join(lines)
    assert counted(block, "vectors") == counted(block, "quick") == counted(block, "exact")
    assert counted(block)["good"] == sum(line in LINES for line in lines)


@settings(deadline=None)
@given(st.lists(st.sampled_from(LINES + BAD), min_size=1, max_size=20), st.sampled_from(COLUMNS))
def test_blocks_hold_what_their_lines_hold(lines: list[bytes], column: str) -> None:
    """Each column's counts are those of its lines, read one by one."""
    block = b"".join(lines)
    assert FORMATS["access"].values(block, column).counts == read_by_line(block, column)


@st.composite
def damaged_blocks(draw: st.DrawFn) -> bytes:
    """Return good lines in which bytes were changed, cut, put in or doubled, cut anywhere."""
    damaged = bytearray(b"".join(draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=8))))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + draw(st.integers(0, 3))] = draw(st.sampled_from(INSERTS) | st.binary(max_size=3))
        damaged = damaged or bytearray(b"\n")
    return bytes(damaged[draw(st.integers(0, 40)) :]).rstrip(b"\n") + b"\n"


@settings(deadline=None, max_examples=150)
@given(damaged_blocks())
def test_all_ways_agree_on_damaged_bytes(block: bytes) -> None:
    """However bytes are changed, cut or put in, all ways give the same counts and none fails."""
    assert counted(block, "vectors") == counted(block, "quick") == counted(block, "exact")


@settings(deadline=None, max_examples=100)
@given(damaged_blocks(), st.sampled_from(COLUMNS))
def test_damaged_blocks_hold_what_their_lines_hold(block: bytes, column: str) -> None:
    """The definition, line by line, is the judge of the ways too."""
    assert FORMATS["access"].values(block, column).counts == read_by_line(block, column)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_can_be_read(junk: bytes) -> None:
    """Nothing fails, and all ways see the same."""
    block = junk + b"\n" + COMBINED + junk + b"\n"
    assert counted(block, "vectors") == counted(block, "quick") == counted(block, "exact")


def test_a_block_larger_than_a_piece_is_read_whole() -> None:
    """Marks are made piece by piece, and a line may stand across two."""
    block = b"".join(COMBINED.replace(b"/a", b"/%d" % number) for number in range(6000)) + BAD[3] * 20
    assert len(block) > 2 * marks.PIECE
    assert counted(block, "vectors") == counted(block, "exact")
    assert counted(block)["good"] == 6000


@pytest.mark.parametrize("length", [7, 57, 64, 65, 500, 2000, 5000])
def test_long_requests_are_read_however_long(length: int) -> None:
    """The next quote may be many words of marks away, or too far to be looked for."""
    block = (COMBINED + COMBINED.replace(b"/a?b=c", b"/" + b"x" * length)) * 3
    assert counted(block, "vectors") == counted(block, "exact")
    assert counted(block)["good"] == 6


def test_a_request_at_the_end_of_a_block_cannot_pass_for_its_status() -> None:
    """What would be fetched from beyond the block is not taken from before."""
    line = COMMON[: COMMON.index(b'"')].replace(b"frank", b"-") + b'" 404 1 " 200 5\n'
    assert counted(COMBINED + line, "vectors") == counted(COMBINED + line, "exact")
    assert counted(line)["statuses"] == {b"200": 1}


def test_most_lines_are_read_the_vectorised_way() -> None:
    """Agreement is no use if everything is handed on."""
    vectors = columns.vectorised()
    assert vectors is not None
    lines, sure, odd = vectors.read((COMBINED + COMMON.replace(b"frank", b"-")) * 50, columns.SUMMARY)
    assert lines == 100
    assert sure.good >= 99  # the last line may end too close to the block's end
    assert odd.count(b"\n") == 100 - sure.good
