"""Marks are where the bytes are: every newline, and the next quote from anywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.lines import marks
from taskgrid.lines.marks import Marks

BLOCKS = st.lists(
    st.sampled_from([b"\n", b'"', b"\\", b"\n\n\n", b"x", b"x" * 7, b"x" * 60, b"x" * 130, b"\xa2\x8a\xdc"]),
    max_size=40,
).map(b"".join)


def next_quote(block: bytes, start: int) -> int:
    """Look at each byte."""
    return next((at for at in range(start, len(block)) if block[at] == 34), len(block))


@pytest.mark.parametrize("piece", [marks.PIECE, 64], ids=["in one piece", "in pieces"])
@settings(deadline=None)
@given(block=BLOCKS)
def test_all_newlines_and_the_next_quotes_are_found(block: bytes, piece: int) -> None:
    """From each byte of a block, however far the next is and wherever pieces end."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(marks, "PIECE", piece)
        found = Marks(block)
    assert found.newlines().tolist() == [at for at, byte in enumerate(block) if byte == 10]
    starts = np.arange(len(block) + 3)
    assert found.quote_from(starts).tolist() == [next_quote(block, min(start, len(block))) for start in starts.tolist()]


def test_a_quote_that_is_too_far_is_not_looked_for() -> None:
    """A line of a megabyte does not hold up the thousands beside it."""
    block = b"x" * (64 * marks.REACH + 100) + b'"'
    assert Marks(block).quote_from(np.array([0])).tolist() == [len(block)]
