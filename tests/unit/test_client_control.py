"""Runs of tasks as control calls want them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from taskgrid.client.control import _pages, as_runs

INDICES = st.sets(st.integers(0, 300)).map(sorted)


@given(INDICES)
def test_runs_cover_exactly_the_indices_and_touch_nowhere(indices: list[int]) -> None:
    """Runs are as few as can be."""
    runs = as_runs(indices)
    assert [index for start, stop in runs for index in range(start, stop)] == indices
    assert all(before[1] < after[0] for before, after in pairwise(runs))


@given(INDICES, st.integers(1, 50))
def test_pages_cover_the_runs_and_none_is_larger_than_an_answer(indices: list[int], size: int) -> None:
    """A page is what one `tasks` call can answer whole."""
    pages = _pages(as_runs(indices), size)
    assert [index for page in pages for start, stop in page for index in range(start, stop)] == indices
    assert all(0 < sum(stop - start for start, stop in page) <= size for page in pages)
