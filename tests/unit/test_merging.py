"""Results add up whatever the split and the order, and say how far they may be off."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.errors import UsageError
from taskgrid.merging import Counts, Distinct, Histogram, Numbers

NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20), max_size=20)
NAMES = st.lists(st.text("abcdef", min_size=1, max_size=2), max_size=20)


def split(values: Sequence[Any], data: st.DataObject) -> list[Sequence[Any]]:
    """Cut values somewhere, and shuffle the parts."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=4)))
    return data.draw(st.permutations([values[a:b] for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True)]))


@pytest.mark.parametrize(
    ("kind", "values"),
    [(Counts, NAMES), (Numbers, NUMBERS), (Histogram, NUMBERS)],
    ids=["counts", "numbers", "histogram"],
)
@given(data=st.data())
def test_the_answer_does_not_depend_on_the_split(
    kind: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """Any parts, in any order, merged in any tree, are what the whole is; so is what went through JSON."""
    whole = data.draw(values)
    parts = [kind.of(part) for part in split(whole, data)]
    expected = kind.of(whole)
    assert kind.merge(parts) == expected
    assert sum(parts[1:], parts[0]) == expected
    assert kind.model_validate_json(expected.model_dump_json()) == expected
    assert expected + kind() == expected


@settings(deadline=None)
@given(NUMBERS)
def test_a_sum_is_the_exact_one_rounded_once(values: list[float]) -> None:
    """As fractions have it, whatever cancels."""
    exact = sum(map(Fraction, values), Fraction())
    found = Numbers.of(values)
    try:
        expected = float(exact)
    except OverflowError:
        with pytest.raises(OverflowError):
            _ = found.sum
        return
    assert found.sum == expected
    assert found.mean == (float(exact / len(values)) if values else None)
    assert (found.least, found.most) == ((float(min(values)), float(max(values))) if values else (None, None))


@settings(deadline=None)
@given(NUMBERS.filter(len), st.floats(0, 1))
def test_a_quantile_is_within_a_hundredth_of_the_true_one(values: list[float], share: float) -> None:
    """Each given value is at most 1/128 from the one at that rank; the ends are exact."""
    found = Histogram.of(values)
    true = sorted(map(float, values))[max(1, math.ceil(share * len(values))) - 1]  # as it takes them
    given_ = found.quantile(share)
    assert given_ is not None
    assert abs(Fraction(given_) - Fraction(true)) <= abs(Fraction(true)) / 128 + Fraction(5e-324)
    assert found.quantile(0) == pytest.approx(min(values), rel=0.008)
    assert found.count == len(values)


@pytest.mark.parametrize("of", [Numbers.of, Histogram.of])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_refused(of: Callable[[Iterable[float]], object], value: float) -> None:
    """A sum of infinity says nothing, and no other value would be seen any more."""
    with pytest.raises(ValueError, match="infinities and NaN"):
        of([1.0, value])


def test_of_nothing_there_is_no_quantile_and_no_mean() -> None:
    """None, not 0; and a share is between 0 and 1."""
    assert Histogram().quantile(0.5) is None
    assert Numbers().mean is None
    assert Numbers().sum == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        Histogram().quantile(1.5)


@pytest.mark.parametrize("many", [0, 7, 300, 5000, 100_000])
def test_distinct_values_are_estimated_alike_whatever_the_split(many: int) -> None:
    """Within five standard errors of the truth, and the same for parts that overlap, in any order."""
    values = [str(number) for number in range(many)]
    shuffled = random.Random(many).sample(values, many)
    thirds = [Distinct.of(shuffled[start::3] + values[:10]) for start in range(3)]
    merged = [Distinct.merge(thirds), thirds[2] + (thirds[1] + thirds[0]), Distinct.of(values)]
    assert len({part.estimate for part in merged}) == 1
    assert merged[0].estimate == pytest.approx(many, rel=5 * 0.0163)
    least, most = merged[0].between()
    assert least <= merged[0].estimate <= most
    assert len(json.dumps(merged[0].model_dump(mode="json"))) < 6000


def test_a_sketch_survives_json() -> None:
    """It travels as base64, and goes on merging."""
    seen = Distinct.of(["a", "b"])
    again = Distinct.model_validate_json(seen.model_dump_json())
    assert (again + Distinct.of(["b", "c"])).estimate == 3
    assert (Distinct() + Distinct()).estimate == 0


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is a sentence, not an ImportError from deep inside."""
    monkeypatch.setitem(sys.modules, "datasketches", None)
    with pytest.raises(UsageError, match="sketches"):
        Distinct.of(["a"])


def test_counts_know_their_largest() -> None:
    """By count, then by name."""
    counts = Counts.of("abracadabra")
    assert counts.top(3) == [("a", 5), ("b", 2), ("r", 2)]
    assert counts.total == 11
