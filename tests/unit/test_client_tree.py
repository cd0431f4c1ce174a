"""Values that merge along a tree: one answer, whatever the order of arrival."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgrid.client.tree import Tree
from taskgrid.errors import UsageError
from taskgrid.functions.reduction import add_up

ANY_FLOATS = st.lists(st.floats(allow_nan=False), max_size=300)


def _by_definition(values: dict[int, float], count: int) -> float | None:
    """Merge as the definition says: level by level, blocks of 64, gaps left out."""
    level: dict[int, list[float]] = {index: [value] for index, value in values.items()}
    width = max(count, 1)
    while width > 1:
        blocks: dict[int, list[float]] = {}
        for index in sorted(level):
            blocks.setdefault(index // 64, []).extend(level[index])
        level = {number: [sum(parts) if len(parts) > 1 else parts[0]] for number, parts in blocks.items()}
        width = -(-width // 64)
    return level[0][0] if level else None


def _bits(value: float | None) -> str | None:
    return None if value is None else float.hex(value)


@given(ANY_FLOATS, st.randoms(use_true_random=False), st.sets(st.integers(0, 300)))
def test_any_order_of_arrival_gives_the_same_bits(
    values: list[float], chance: random.Random, skipped: set[int]
) -> None:
    """Floats included, with tasks that failed among them, and values that come twice."""
    order = [*range(len(values)), *chance.choices(range(len(values) or 1), k=len(values))]
    chance.shuffle(order)
    tree = Tree[float](sum)
    for index in order:
        tree.skip(index) if index in skipped else tree.add(index, values[index])
    kept = {index: value for index, value in enumerate(values) if index not in skipped}
    assert _bits(tree.result(len(values))) == _bits(_by_definition(kept, len(values)))


@given(st.sets(st.integers(0, 20_000), max_size=200), st.randoms(use_true_random=False))
def test_the_state_so_far_is_in_order_of_index(indices: set[int], chance: random.Random) -> None:
    """Whatever came, and wherever its gaps are: nothing is missing, doubled or out of order."""
    tree = Tree[list[int]](lambda parts: [each for part in parts for each in part])
    order = sorted(indices)
    chance.shuffle(order)
    for at, index in enumerate(order):
        tree.add(index, [index])
        assert all(map(tree.has, order[: at + 1]))
        if at % 50 == 0:
            assert tree.partial() == sorted(order[: at + 1])
    assert (tree.partial() or []) == sorted(indices)
    assert tree.count == len(indices)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 4096, 4097, 262_145])
def test_a_long_tree_counts_each_value_once(count: int) -> None:
    """Also where the last block is full, or begins a level of its own."""
    tree = Tree[int](sum)
    for index in range(count):
        tree.add(index, index)
    assert tree.result(count) == count * (count - 1) // 2
    assert tree.has(0)
    assert tree.has(count - 1)
    assert not tree.has(count)


def test_memory_is_bounded_where_values_come_in_order() -> None:
    """Three hundred thousand values are held as some dozens."""
    tree = Tree[int](sum)
    most = 0
    for index in range(300_000):
        tree.add(index, 1)
        if index % 997 == 0:
            most = max(most, sum(len(block) for blocks in tree._levels for block in blocks.values()))
    assert most <= 63 * 4  # levels
    assert tree.result(300_000) == 300_000


def test_a_result_with_a_value_missing_is_none() -> None:
    """A run never gives less than all for all."""
    tree = Tree[int](sum)
    tree.add(1, 1)
    with pytest.raises(ValueError, match="1 of 2"):
        tree.result(2)


def test_nothing_has_no_value() -> None:
    """No task, or none that succeeded."""
    tree = Tree[int](sum)
    assert tree.result(0) is None
    tree.skip(0)
    tree.add(0, 5)
    assert tree.result(1) is None


@dataclass(frozen=True)
class _Most:
    value: int

    @classmethod
    def merge(cls, parts: Sequence[_Most]) -> _Most:
        return cls(max(part.value for part in parts))


def test_a_kind_says_how_its_values_add_up() -> None:
    """By `merge(parts)` if it has one, else by `+`; else the error says what would do."""
    assert add_up([_Most(1), _Most(7), _Most(3)]) == _Most(7)
    assert add_up(["a", "b", "c"]) == "abc"
    with pytest.raises(UsageError, match="results of type dict can't be merged"):
        add_up([{}, {}])
