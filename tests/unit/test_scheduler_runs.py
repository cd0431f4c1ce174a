"""Run sets behave as sets of integers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taskgrid.scheduler.runs import RunSet, as_runs, subtract

_RUN = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "take"]), _RUN), max_size=30))
def test_a_run_set_is_a_set_of_integers(steps: list[tuple[str, tuple[int, int]]]) -> None:
    """Whatever is added and removed, runs stay sorted, disjoint, apart, and mean the same numbers."""
    runs, naive = RunSet(), set[int]()
    for what, (start, stop) in steps:
        if what == "add":
            runs.add(start, stop)
            naive |= set(range(start, stop))
        elif what == "remove":
            runs.remove(start, stop)
            naive -= set(range(start, stop))
        else:
            taken = [index for low, high in runs.take(stop - start) for index in range(low, high)]
            assert taken == sorted(naive)[: stop - start]
            naive -= set(taken)
        assert runs.runs() == tuple(as_runs(sorted(naive)))
        assert len(runs) == len(naive)
        assert [index for index in range(60) if index in runs] == sorted(naive)
        inside = sorted(naive & set(range(start, stop)))
        assert runs.within(start, stop) == as_runs(inside)
        assert runs.covers(start, stop) == (len(inside) == stop - start)
        assert subtract((start, stop), runs.within(start, stop)) == as_runs(sorted(set(range(start, stop)) - naive))
