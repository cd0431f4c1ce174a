"""Matching lines in results that have little room: together they are all of them, and each fits."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

import pytest

from taskgrid.errors import TaskGridError
from taskgrid.files import packing
from taskgrid.functions.codec import Codec
from taskgrid.logs.excerpts import Found, excerpt
from taskgrid.logs.searching import Search

MATCHING = Search("x")


def asked_until_done(blocks: list[bytes]) -> Iterator[Found]:
    """Ask again for what had no room."""
    found = excerpt(blocks, MATCHING)
    yield found
    while found.next is not None:
        found = excerpt(blocks, MATCHING, after=found.next)
        yield found


def test_what_has_no_room_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every matching line comes once, in order, however little fits, and each line is counted as searched once."""
    monkeypatch.setattr(packing, "ROOM", 50_000)
    rng = random.Random(5)
    lines = [b"%x%s" % (rng.getrandbits(400), b"x" if number % 3 else b"") for number in range(9000)]
    text = b"".join(line + b"\n" for line in lines)
    cut = text.index(b"\n", 300_000) + 1
    blocks = [text[:cut], text[cut:]]
    parts = list(asked_until_done(blocks))
    assert len(parts) > 3
    assert [line for part in parts for line in part.found()] == [line for line in lines if b"x" in line]
    assert sum(part.lines for part in parts) == 9000
    assert sum(part.hits for part in parts) == 6000


def test_a_result_fits_whatever_the_lines() -> None:
    """Lines that can't be packed, and a long one at the worst moment, stay under a mebibyte as JSON."""
    rng = random.Random(1)
    noise = [rng.randbytes(9000).replace(b"\n", b"n") + b"x" for _ in range(200)]
    for long_one_at in (40, 43, 44):
        lines = [*noise[:long_one_at], rng.randbytes(4 << 20).replace(b"\n", b"n") + b"x", *noise[long_one_at:]]
        found = excerpt([b"".join(line + b"\n" for line in lines)], MATCHING)
        assert found.next is not None
        assert len(Codec(Found).encode(found)) < 1 << 20
    shown = excerpt([b"x" * 200_000 + b"\n"], MATCHING).found()
    assert [len(line) < 70_000 and line.endswith(b"... (a line of 200000 bytes)") for line in shown] == [True]


def test_bytes_come_as_they_are() -> None:
    """Also those that are no text; a carriage return at a line's end belongs to the end."""
    found = Codec(Found).decode(Codec(Found).encode(excerpt([b"\xff\x00x\r\nno\nx"], MATCHING)))
    assert found.found() == [b"\xff\x00x", b"x"]
    assert (found.lines, found.hits, found.next) == (3, 2, None)


def test_counting_keeps_nothing() -> None:
    """And goes on to the end."""
    found = excerpt([b"x\n" * 500_000], MATCHING, only_count=True)
    assert (found.hits, found.packed, found.next) == (500_000, b"", None)
    assert found.found() == []


def test_logs_take_little_room() -> None:
    """A megabyte of an ordinary log fits several times."""
    line = b'203.0.113.7 - - [17/May/2015:10:05:03 +0000] "GET /%d HTTP/1.1" 200 512 "-" "xyz"\n'
    block = b"".join(line % number for number in range(40_000))
    found = excerpt([block], MATCHING)
    assert found.next is None
    assert len(found.packed) < len(block) // 5
    assert zlib.decompress(found.packed) == block


def test_what_packs_to_little_is_still_not_too_much_for_who_unpacks_it() -> None:
    """A hundred megabytes of equal lines would fit; and what a dishonest peer packs is not unpacked to its end."""
    parts = list(asked_until_done([b"x\n" * 20_000_000]))
    assert len(parts) == 3
    assert max(len(part.found()) for part in parts) < 10_000_000
    assert sum(part.hits for part in parts) == 20_000_000
    for bomb in (zlib.compress(b"\n" * (64 << 20)), zlib.compress(b"a\n" * 9)[:-3], b"nonsense"):
        with pytest.raises(TaskGridError, match="can't be unpacked"):
            packing.unpacked(bomb)
