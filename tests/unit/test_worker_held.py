"""How works are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taskgrid.model import JobNumber, Token
from taskgrid.transport.protocol import Bundle
from taskgrid.worker.held import Lease, Work, halved
from taskgrid.worker.positions import indices


def works_of(sizes: list[int]) -> list[Work]:
    """Return works of these sizes, over dense tasks."""
    works, first = [], 0
    for number, size in enumerate(sizes):
        runs = ((first, first + size),)
        lease = Lease(Bundle(token=Token(1, number, "s"), job=JobNumber(1), function="m:f", runs=runs, options={}), 1.0)
        works.append(Work(lease, runs, b"\n".join(b"[%d]" % n for n in range(first, first + size))))
        first += size
    return works


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.data())
def test_halving_keeps_every_task_and_parts_the_first_half_of_the_suspects(
    sizes: list[int], data: st.DataObject
) -> None:
    """Nothing is lost or moved, and no work holds suspects of both halves."""
    suspects = data.draw(st.integers(0, sum(sizes)))
    works = works_of(sizes)
    pieces = halved(works, suspects)
    tasks = [index for piece in pieces for index in indices(piece.runs)]
    assert tasks == list(range(sum(sizes)))
    assert b"\n".join(piece.payload for piece in pieces) == b"\n".join(work.payload for work in works)
    half = suspects // 2
    assert all(piece.runs[-1][1] <= half or piece.runs[0][0] >= half for piece in pieces)
