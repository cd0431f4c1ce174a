"""Finds bytes in a block by the bit: a mark per byte, eight to a byte, and the next or all of them by arithmetic.

Reading a block byte by byte costs more than all that is done with what is found, so each byte is
looked at by numpy's vectorised comparisons only, and everything after is work per line. A mark is a
bit of a map; 64 of them are one number, whose lowest set bit is found by counting the bits below it.
(The way of simdjson: Langdale and Lemire, "Parsing Gigabytes of JSON per Second", VLDB Journal 2019.)
Needs numpy, the `logs` extra. This module knows no log format.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy import bitwise_count  # since numpy 2
from numpy.typing import NDArray

Positions = NDArray[np.int64]
Words = NDArray[np.uint64]

PIECE: Final = 256 << 10
"""Bytes compared at once: few enough for a core's cache, enough to forget the cost of a call."""
REACH: Final = 32
"""Words of 64 marks in which the next mark is looked for."""

_NEWLINE: Final = np.array(ord("\n"), np.uint8)
_QUOTE: Final = np.array(ord('"'), np.uint8)
_ONE: Final = np.uint64(1)
_PADDING: Final = 16
"""Empty bytes after a map, so that 8 can be read from anywhere in it."""


class Marks:
    """The newlines of a block, and its quotes."""

    def __init__(self, block: bytes) -> None:
        self._size = len(block)
        self._newlines = np.zeros(self._size // 8 + _PADDING, np.uint8)
        self._quotes = np.zeros(self._size // 8 + _PADDING, np.uint8)
        self._fill(np.frombuffer(block, np.uint8))
        self._ahead: NDArray[Any] = np.ndarray((len(self._quotes) - 7,), "V8", self._quotes, 0, (1,))

    def _fill(self, data: NDArray[np.uint8]) -> None:
        found = np.empty(PIECE, np.bool_)
        for start in range(0, self._size, PIECE):
            piece = data[start : start + PIECE]
            marks = found[: len(piece)]
            _pack(np.equal(piece, _NEWLINE, marks), self._newlines[start >> 3 :])
            _pack(np.equal(piece, _QUOTE, marks), self._quotes[start >> 3 :])

    def newlines(self) -> Positions:
        """Return where all newlines are, in order."""
        words = self._newlines[: len(self._newlines) // 8 * 8].view(np.uint64)
        at = np.flatnonzero(words != 0)
        left, first = words[at], at << 6
        found = [first + lowest(left)]
        left &= left - _ONE
        while left.any():  # more than one newline in 64 bytes
            more = np.flatnonzero(left)
            left, first = left[more], first[more]
            found.append(first + lowest(left))
            left &= left - _ONE
        every: Positions = np.concatenate(found)
        if len(found) > 1:
            every.sort()
        return every

    def quote_from(self, start: Positions) -> Positions:
        """Return the first quote at each position or after it; the block's size if none is near."""
        start = np.minimum(start, self._size)
        near = self._ahead[start >> 3].view(np.uint64)
        found = start + lowest(near >> (start & 7).view(np.uint64))
        missed = np.flatnonzero(found == start + 64)
        if len(missed):
            found[missed] = self._further(start[missed] & ~7)
        within: Positions = np.minimum(found, self._size)
        return within

    def _further(self, start: Positions) -> Positions:
        found = np.full(len(start), self._size)
        looking = np.arange(len(start))
        for step in range(1, REACH):
            at = start[looking] + 64 * step
            looking, at = looking[at < self._size], at[at < self._size]
            bit = lowest(self._ahead[at >> 3].view(np.uint64))
            hit = bit < 64
            found[looking[hit]] = at[hit] + bit[hit]
            looking = looking[~hit]
            if not len(looking):
                break
        return found


def newlines_in(block: bytes) -> int:
    """Count them, at several times the rate of `bytes.count`."""
    data = np.frombuffer(block, np.uint8)
    return sum(
        int(np.count_nonzero(np.equal(data[start : start + PIECE], _NEWLINE))) for start in range(0, len(data), PIECE)
    )


def lowest(words: Words) -> NDArray[np.uint8]:
    """Return the number of the lowest set bit of each word; 64 if there is none."""
    below = np.negative(words)
    below &= words
    below -= _ONE
    return bitwise_count(below)


def _pack(marks: NDArray[np.bool_], into: NDArray[np.uint8]) -> None:
    packed = np.packbits(marks, bitorder="little")
    into[: len(packed)] = packed
