"""Finds a text in blocks by the rarest three bytes of it, two at a time, with numpy: far quicker than byte by byte.

A block is looked at as numbers of two bytes each. Wherever the text lies, two neighbours of three bytes of it are
such a number, the first two or the last two; so two comparisons of the whole block leave the few places where it can
be. Which three bytes are rarest is learnt from the first block. Needs numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SAMPLE: Final = 64 << 10
_DENSE: Final = 64
"""Bytes of a block for each place where the text may be, below which looking byte by byte is as fast."""


class Text:
    """A text of at least three bytes, ready to be looked for."""

    def __init__(self, text: bytes, sample: bytes) -> None:
        """Take the text, and what the blocks are like."""
        seen = sample[:_SAMPLE]
        pairs = [seen.count(text[at : at + 2]) for at in range(len(text) - 1)]
        sums = [pairs[at] + pairs[at + 1] for at in range(len(text) - 2)]
        self._text = text
        self._at = sums.index(min(sums))
        first, second = text[self._at : self._at + 2], text[self._at + 1 : self._at + 3]
        self._first, self._second = (np.frombuffer(pair, np.uint16)[0] for pair in (first, second))

    def places(self, block: bytes) -> Iterator[int]:
        """Yield where the text begins in a block, in order."""
        numbers = np.frombuffer(block, np.uint16, len(block) // 2)
        possible = numbers == self._first
        possible |= numbers == self._second
        if np.count_nonzero(possible) * _DENSE > len(block):
            return _one_by_one(block, self._text)
        return iter(self._confirmed(block, np.flatnonzero(possible)))

    def _confirmed(self, block: bytes, possible: NDArray[np.intp]) -> list[int]:
        """Return the places of the text, given where one of its pairs is."""
        data = np.frombuffer(block, np.uint8)
        begins = 2 * possible - self._at
        begins = np.concatenate((begins - 1, begins))
        begins = begins[(begins >= 0) & (begins <= len(block) - len(self._text))]
        for number, byte in enumerate(self._text):
            begins = begins[data[begins + number] == byte]
        begins.sort()
        places: list[int] = begins.tolist()
        return places


def _one_by_one(block: bytes, text: bytes) -> Iterator[int]:
    place = block.find(text)
    while place >= 0:
        yield place
        place = block.find(text, place + 1)
