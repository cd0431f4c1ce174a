"""Which outcomes of an assignment are merged before they are handed over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taskgrid.worker.merging import Blocks

RUNS = st.lists(st.tuples(st.integers(0, 90), st.integers(1, 200)), min_size=1, max_size=4)


def tasks_of(gaps: list[tuple[int, int]]) -> list[int]:
    """Return ascending indices: for each pair a gap, and how many follow it."""
    tasks: list[int] = []
    at = 0
    for gap, count in gaps:
        tasks += range(at + gap, at + gap + count)
        at += gap + count
    return tasks


def joined(lines: object) -> bytes:
    """Merge lines so that one sees which they were."""
    return b"|".join(lines)  # type: ignore[arg-type]


@given(RUNS, st.integers(0, 10**6), st.sets(st.integers(0, 500)), st.data())
def test_exactly_the_whole_blocks_without_a_failure_are_merged(
    gaps: list[tuple[int, int]], first: int, failed: set[int], data: st.DataObject
) -> None:
    """Wherever they lie in what is handed over, and whatever else is in it."""
    tasks = tasks_of(gaps)
    start = data.draw(st.integers(0, len(tasks)))
    stop = data.draw(st.integers(start, len(tasks)))
    before = [b"!" if index in failed else b"%d" % index for index in tasks[start:stop]]
    lines = before[:]
    whole = Blocks(first, tasks, joined).merge(first + start, lines)
    expected = [
        at
        for at in range(start, stop)
        if tasks[at] % 64 == 0
        and tasks[at : at + 64] == list(range(tasks[at], tasks[at] + 64))
        and at + 64 <= stop
        and failed.isdisjoint(tasks[at : at + 64])
    ]
    assert [(low - first, high - first) for low, high in whole] == [(at, at + 64) for at in expected]
    for at in (each - start for each in expected):
        assert lines[at : at + 64] == [b"+" + joined(before[at : at + 64]), *[b""] * 63]
        before[at : at + 64] = lines[at : at + 64]
    assert lines == before, "the rest is as it was"


def test_what_can_not_be_merged_stays() -> None:
    """Each value goes its own way then."""
    lines = [b"1"] * 64
    assert Blocks(0, range(64), lambda _: None).merge(0, lines) == ()
    assert lines == [b"1"] * 64
