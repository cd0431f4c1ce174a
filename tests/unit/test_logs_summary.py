"""Summaries and tallies add up, in any order, and say what they may lack."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.logs import AccessSummary, Tally
from taskgrid.logs.report import render, size
from taskgrid.merging import tally

COUNTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(1, 50), max_size=12)
TALLIES = st.builds(Tally, counts=COUNTS, missed=st.integers(0, 5))
SUMMARIES = st.builds(
    AccessSummary,
    files=st.integers(0, 3),
    lines=st.integers(0, 99),
    bytes=st.integers(0, 1 << 60),
    statuses=st.dictionaries(st.integers(100, 599), st.integers(1, 9), max_size=4),
    paths=TALLIES,
    clients=TALLIES,
)


@settings(deadline=None)
@given(SUMMARIES, SUMMARIES, SUMMARIES)
def test_adding_is_associative_commutative_and_has_a_zero(a: AccessSummary, b: AccessSummary, c: AccessSummary) -> None:
    """Merges may follow any tree: the sum is the same."""
    assert (a + b) + c == a + (b + c) == AccessSummary.merge((c, a, b))
    assert a + AccessSummary() == a
    assert AccessSummary.merge(()) == AccessSummary()


@settings(deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=6), st.integers(1, 6))
def test_true_counts_stay_within_what_is_said_to_be_missed(parts: list[dict[str, int]], names: int) -> None:
    """Trimmed tallies merge, and their bound holds for kept and for dropped names alike."""
    true: Counter[str] = Counter()
    for part in parts:
        true.update(part)
    merged = Tally.merge(Tally.of(part, names=names, size=1 << 20) for part in parts)
    for name, count in true.items():
        assert merged.counts.get(name, 0) <= count <= merged.counts.get(name, 0) + merged.missed


@settings(deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=6))
def test_merging_many_names_takes_bounded_memory(parts: list[dict[str, int]]) -> None:
    """Beyond the bound the smaller half goes, and the bound on counts still holds."""
    true: Counter[str] = Counter()
    for part in parts:
        true.update(part)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tally, "MERGED_NAMES", 8)
        merged = Tally.merge(Tally(counts=part) for part in parts)
    assert len(merged.counts) <= 8
    for name, count in true.items():
        assert merged.counts.get(name, 0) <= count <= merged.counts.get(name, 0) + merged.missed


def test_a_tally_keeps_the_largest_that_fit() -> None:
    """Names go by count, then by name; the largest that went is what may be missed."""
    counts = {"a": 5, "b": 9, "c": 5, "d": 1}
    assert Tally.of(counts, names=2, size=100) == Tally(counts={"b": 9, "a": 5}, missed=5)
    assert Tally.of(counts, names=9, size=12, missed=3) == Tally(counts={"b": 9, "a": 5}, missed=8)
    assert Tally.of(counts, names=9, size=100) == Tally(counts=counts)


def test_a_tally_knows_whether_its_top_is_sure() -> None:
    """The top is sure when no other name can reach its last."""
    assert Tally(counts={"a": 9, "b": 8, "c": 3}, missed=5).certain(2)
    assert not Tally(counts={"a": 9, "b": 8, "c": 4}, missed=5).certain(2)
    assert not Tally(counts={"a": 9}, missed=5).certain(2)
    assert Tally(counts={"a": 9}).certain(2)


def test_a_report_shows_every_section_in_the_width_of_a_terminal() -> None:
    """A person sees totals and tables; control characters and endless names don't reach the terminal."""
    shown = AccessSummary(
        files=2,
        lines=1234567,
        bytes=5_400_000_000,
        statuses={200: 7, 299: 1},
        methods=Tally(counts={"GET": 8}),
        paths=Tally(counts={"/" + "x" * 300: 5, "/\x1b[2J": 3}, missed=2),
        clients=Tally(counts={"::1": 8}),
        hours=Tally(counts={"2015-05-17T10+0000": 8}),
    )
    text = render(shown)
    assert "1,234,567 lines in 2 files, 0 bad; 5.4 GB sent to clients" in text
    assert "200 OK" in text
    assert "up to 2 more; perhaps not these" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert render(AccessSummary())


def test_sizes_read_as_people_write_them() -> None:
    """Three digits and a decimal unit."""
    assert [size(count) for count in (0, 999, 1000, 1_390_000, 999_999, 2_747_282_740)] == [
        "0 B",
        "999 B",
        "1 kB",
        "1.39 MB",
        "1 MB",
        "2.75 GB",
    ]
