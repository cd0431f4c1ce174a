"""Finding a text by pairs of its bytes: every place, in order, wherever it lies and whatever is around it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pairs = pytest.importorskip("taskgrid.lines.pairs", reason="needs numpy")

BYTES = st.sampled_from([b"a", b"b", b"c", b"\0", b"\n"])
TEXTS = st.lists(BYTES, min_size=3, max_size=6).map(b"".join)
BLOCKS = st.lists(BYTES | st.just(b"abc" * 5), max_size=200).map(b"".join)


@settings(deadline=None, max_examples=200)
@given(TEXTS, BLOCKS, BLOCKS)
def test_every_place_is_found_in_order(text: bytes, sample: bytes, block: bytes) -> None:
    """At even and odd places, at both ends, overlapping; few in long blocks as well as many in short ones."""
    finder = pairs.Text(text, sample)
    for data in (block, block + text, text + b"x" * 5001 + text + b"y", b"z" + text + bytes(7_000)):
        right = [found.start() for found in re.finditer(b"(?=" + re.escape(text) + b")", data)]
        assert list(finder.places(data)) == right


def test_the_rarest_bytes_are_looked_for() -> None:
    """What is common in the sample is common in the blocks."""
    text = pairs.Text(b"eeeeqz!eee", b"eeee " * 1000)
    assert list(text.places(b"eeee " * 1000 + b"eeeeqz!eee")) == [5000]
    assert text._at in {3, 4, 5, 6}  # how many places it must look at
