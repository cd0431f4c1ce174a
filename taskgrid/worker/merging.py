"""Whole merge blocks among the outcomes of one assignment: their values become one before they are handed over.

Which tasks make a block depends on their indices alone, so a worker that has only a part of one leaves its
values as they are, and so does one of whose tasks some failed. Knows lines and indices, and no channel.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from taskgrid.model import FAILURE_MARK, MERGE_BLOCK, MERGED_MARK

Merged = Callable[[Sequence[bytes]], bytes | None]


class Blocks(NamedTuple):
    """The tasks of an assignment, and how values of theirs are merged."""

    first: int
    """The ordinal of the first of them."""
    tasks: Sequence[int]
    """Their indices, ascending."""
    merged: Merged

    def merge(self, first: int, lines: list[bytes]) -> tuple[tuple[int, int], ...]:
        """Merge in place what is whole among the outcomes from the ordinal `first` on; return its ordinals."""
        begin = first - self.first
        end = begin + len(lines)
        found: list[tuple[int, int]] = []
        at = self._next_block(begin)
        while (stop := at + MERGE_BLOCK) <= end:
            if self.tasks[stop - 1] == self.tasks[at] + MERGE_BLOCK - 1 and self._replaced(lines, at - begin):
                found.append((self.first + at, self.first + stop))
            at = self._next_block(at + 1)
        return tuple(found)

    def _next_block(self, position: int) -> int:
        """Return the position, from this one on, of the first task whose index begins a block."""
        while position < len(self.tasks) and (beyond := self.tasks[position] % MERGE_BLOCK):
            position = bisect_left(self.tasks, self.tasks[position] + MERGE_BLOCK - beyond, position)
        return position

    def _replaced(self, lines: list[bytes], at: int) -> bool:
        block = lines[at : at + MERGE_BLOCK]
        if any(line.startswith(FAILURE_MARK) for line in block) or (line := self.merged(block)) is None:
            return False
        lines[at : at + MERGE_BLOCK] = [MERGED_MARK + line, *[b""] * (MERGE_BLOCK - 1)]
        return True
