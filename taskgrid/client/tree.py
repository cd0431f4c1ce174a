"""Merges values along a tree that their indices fix, so that the answer is the same in every run.

Adding floats rounds: whoever merges as values arrive gets another answer each time. Here values are
children of aligned blocks of 64, blocks are children of blocks of blocks, and so on; a block is
merged once, when all its children are there, in order of index. What is merged with what depends
on the indices alone, whatever the order of arrival and however often a value comes.

In memory are the children of blocks that are not full: at most 63 a level where values come in order,
and besides what came early. Knows no jobs and no files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from taskgrid.model import MERGE_BLOCK

V = TypeVar("V")

_NOTHING: Final = object()
"""What a task that has no value leaves in its place."""


class Tree(Generic[V]):
    """Values by index, merged as blocks fill: `add` in any order, then `result`.

    `merge` gets a list of at least two parts in order of index and returns one value of their kind. It
    must not change the parts: `partial` merges what will be merged again.
    """

    def __init__(self, merge: Callable[[Sequence[V]], V]) -> None:
        self._merge = merge
        self._levels: list[dict[int, dict[int, Any]]] = [{}]
        """By level, the open blocks; by block, the children that came, by their index at that level."""
        self.count = 0
        """How many indices came, with and without a value."""

    def add(self, index: int, value: V) -> None:
        """Enter a value; one whose index came before is ignored."""
        self._enter(index, value)

    def add_block(self, number: int, value: V) -> None:
        """Enter what a whole merge block came to, that of the indices from 64 `number` on; once it came it stays.

        Values of it that came singly before give way: as an older history of the journal had them.
        """
        if self._has(number, level=1):
            return
        before = self._levels[0].pop(number, {})
        self.count += MERGE_BLOCK - len(before)
        self._grow((number + 1) * MERGE_BLOCK - 1)
        self._put(1, number, value)

    def skip(self, index: int) -> None:
        """Enter that an index will have no value: its task failed. A value for it is ignored from now on."""
        self._enter(index, _NOTHING)

    def has(self, index: int) -> bool:
        """Say whether an index came."""
        return self._has(index, level=0)

    def _has(self, index: int, *, level: int) -> bool:
        for blocks in self._levels[level:]:
            index, child = index // MERGE_BLOCK, index
            if index in blocks:
                return child in blocks[index]
        return False

    def partial(self) -> V | None:
        """Return what came so far, merged in order of index; None if there is no value yet."""
        below: dict[int, Any] = {}
        for blocks in self._levels:
            open_blocks = {number: dict(children) for number, children in blocks.items()}
            for child, value in below.items():
                open_blocks.setdefault(child // MERGE_BLOCK, {})[child] = value
            below = {number: self._merged(children) for number, children in open_blocks.items()}
        value = below.get(0, _NOTHING)
        return None if value is _NOTHING else value

    def result(self, count: int) -> V | None:
        """Return all `count` values merged, None if each was skipped; ValueError if one did not come."""
        if self.count != count:
            raise ValueError(f"{self.count} of {count} values came")
        return self.partial()

    def _enter(self, index: int, value: Any) -> None:
        if self.has(index):
            return
        self.count += 1
        self._grow(index)
        self._put(0, index, value)

    def _grow(self, index: int) -> None:
        while index // MERGE_BLOCK ** len(self._levels):
            self._levels.append({})

    def _put(self, level: int, index: int, value: Any) -> None:
        """Put a child into its block; if that is full now, put what it merges to into the block above."""
        if level == len(self._levels):
            self._levels.append({})
        blocks = self._levels[level]
        children = blocks.setdefault(index // MERGE_BLOCK, {})
        children[index] = value
        if len(children) == MERGE_BLOCK:
            merged = self._merged(children)  # first: where it raises, nothing is gone
            del blocks[index // MERGE_BLOCK]
            self._put(level + 1, index // MERGE_BLOCK, merged)

    def _merged(self, children: dict[int, Any]) -> Any:
        parts = [value for _, value in sorted(children.items(), key=lambda each: each[0]) if value is not _NOTHING]
        if len(parts) > 1:
            return self._merge(parts)
        return parts[0] if parts else _NOTHING
