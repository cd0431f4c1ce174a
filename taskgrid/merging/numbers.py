"""Count, least, most, sum and mean of numbers, the same however they are split.

Adding floats rounds, so that their sum depends on the order. Here a sum is kept exactly, as a whole
number times a power of two (any float is one), and rounded once, when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

__all__ = ["Numbers"]


class Numbers(BaseModel):
    """What numbers add up to; `mean` and `sum` are the exact ones, rounded once."""

    model_config = ConfigDict(frozen=True)

    count: int = 0
    least: float | None = None
    most: float | None = None
    odd: int = 0
    """The sum is `odd` times two to the power of `twos`; `odd` is an odd number, or both are 0."""
    twos: int = 0

    @classmethod
    def of(cls, values: Iterable[float]) -> Numbers:
        """Add values up; ValueError if one is infinite or no number."""
        found = list(values)
        if not found:
            return cls()
        if not all(map(math.isfinite, found)):
            raise ValueError("infinities and NaN have no sum")
        ratios = [value.as_integer_ratio() for value in found]
        finest = max(below for _, below in ratios)
        odd, twos = _reduced(sum(above * (finest // below) for above, below in ratios), 1 - finest.bit_length())
        return cls(count=len(found), least=min(found), most=max(found), odd=odd, twos=twos)

    @classmethod
    def merge(cls, parts: Iterable[Numbers]) -> Numbers:
        """Add numbers up."""
        found = [part for part in parts if part.count]
        if not found:
            return cls()
        finest = min(part.twos for part in found)
        odd, twos = _reduced(sum(part.odd << (part.twos - finest) for part in found), finest)
        return cls(
            count=sum(part.count for part in found),
            least=min(part.least for part in found if part.least is not None),
            most=max(part.most for part in found if part.most is not None),
            odd=odd,
            twos=twos,
        )

    @property
    def sum(self) -> float:
        """The sum, rounded once; OverflowError beyond what a float holds."""
        return _divided(self.odd, self.twos, 1)

    @property
    def mean(self) -> float | None:
        """The mean, rounded once; None of no numbers."""
        return _divided(self.odd, self.twos, self.count) if self.count else None

    def __add__(self, other: Numbers) -> Numbers:
        return Numbers.merge((self, other))


def _reduced(whole: int, twos: int) -> tuple[int, int]:
    """Write a whole number times a power of two in the one way in which the whole number is odd."""
    if not whole:
        return 0, 0
    more = (whole & -whole).bit_length() - 1
    return whole >> more, twos + more


def _divided(odd: int, twos: int, by: int) -> float:
    # Dividing whole numbers rounds once, to the nearest float.
    return (odd << max(0, twos)) / (by << max(0, -twos))
