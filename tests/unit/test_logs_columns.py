"""What a line is, and that the quick way of counting lines never differs from the exact one."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgrid.logs import columns
from taskgrid.logs.columns import Columns

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
    COMBINED.replace(b":10:05", b":24:05"),
    COMBINED.replace(b"+0000", b"UTC"),
    COMBINED.replace(b"- - [", b"["),
    COMBINED.replace(b'"GET', b"GET"),
    COMMON.replace(b"2326", b"2326x"),
    COMBINED.replace(b"HTTP/1.1", b"HTTP/1.1\\"),
)


def counted(block: bytes) -> dict[str, object]:
    """Count a block as it is counted in earnest."""
    found = Columns()
    found.add(block)
    return vars(found)


def exactly(block: bytes) -> dict[str, object]:
    """Count a block without the quick way."""
    with patch.object(columns, "quickly", return_value=None):
        return counted(block)


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


@given(st.lists(st.sampled_from(LINES + BAD), min_size=1, max_size=30))
def test_quick_and_exact_counts_agree_on_any_mix_of_lines(lines: list[bytes]) -> None:
    """A good line between bad ones counts once, whichever way its block is read."""
    block = b"".join(lines)
    assert counted(block) == exactly(block)
    assert counted(block)["good"] == sum(line in LINES for line in lines)


@given(st.data())
def test_quick_and_exact_counts_agree_on_damaged_bytes(data: st.DataObject) -> None:
    """However bytes are changed, cut or put in, both ways give the same counts and none fails."""
    damaged = bytearray(b"".join(data.draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=6))))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b"", b'"', b"\n", b" ", b"[", b"]", b"\\", b":", b"-", b"\r", b"\x00", b'" 200 1 "'])
        )
        damaged = damaged or bytearray(b"\n")
    block = bytes(damaged).rstrip(b"\n") + b"\n"
    assert counted(block) == exactly(block)
