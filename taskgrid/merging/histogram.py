"""Quantiles of any number of values, in a few hundred counts.

A value is counted in the bucket of its first bits: its power of two, and which 64th of the way to the
next it has gone. So buckets are the same everywhere, adding them up is exact, and whatever the split,
quantiles are too: of a bucket the middle is given, which no value in it is further from than 1/128 of
itself. (The buckets of HdrHistogram. Sketches that choose at random, as KLL, or merge centroids, as
t-digest, are smaller or finer at the ends, but their answer depends on how the values were split.)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict

__all__ = ["Histogram"]

_PARTS: Final = 64
"""Buckets for each power of two."""


class Histogram(BaseModel):
    """Values by bucket, the least and the most of them exactly."""

    model_config = ConfigDict(frozen=True)

    zeros: int = 0
    above: dict[int, int] = {}
    """Counts of values over 0, by bucket."""
    below: dict[int, int] = {}
    """Counts of values under 0, by the bucket of their absolute value."""
    least: float | None = None
    most: float | None = None

    @classmethod
    def of(cls, values: Iterable[float]) -> Histogram:
        """Count values; ValueError if one is infinite or no number."""
        found = list(values)
        if not all(map(math.isfinite, found)):
            raise ValueError("infinities and NaN are in no bucket")
        return cls(
            zeros=sum(value == 0 for value in found),
            above=Counter(_bucket(value) for value in found if value > 0),
            below=Counter(_bucket(-value) for value in found if value < 0),
            least=min(found, default=None),
            most=max(found, default=None),
        )

    @classmethod
    def merge(cls, parts: Iterable[Histogram]) -> Histogram:
        """Add histograms up."""
        above: Counter[int] = Counter()
        below: Counter[int] = Counter()
        found = list(parts)
        for part in found:
            above.update(part.above)
            below.update(part.below)
        return cls(
            zeros=sum(part.zeros for part in found),
            above=above,
            below=below,
            least=min((part.least for part in found if part.least is not None), default=None),
            most=max((part.most for part in found if part.most is not None), default=None),
        )

    @property
    def count(self) -> int:
        """All values."""
        return self.zeros + sum(self.above.values()) + sum(self.below.values())

    def quantile(self, share: float) -> float | None:
        """Return about the least value that `share` of all don't exceed (0.5: the median), within 0.8 % of it.

        None of no values. ValueError if `share` is not between 0 and 1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"a quantile is between 0 and 1, not {share}")
        left = max(1, math.ceil(share * self.count))
        for value, count in self._ascending():
            left -= count
            if left <= 0 and self.least is not None and self.most is not None:
                return min(max(value, self.least), self.most)
        return None

    def _ascending(self) -> Iterable[tuple[float, int]]:
        yield from ((-_middle(bucket), self.below[bucket]) for bucket in sorted(self.below, reverse=True))
        yield 0.0, self.zeros
        yield from ((_middle(bucket), self.above[bucket]) for bucket in sorted(self.above))

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram.merge((self, other))


def _bucket(value: float) -> int:
    mantissa, exponent = math.frexp(value)  # the mantissa is at least 1/2 and under 1
    return exponent * _PARTS + int((2 * mantissa - 1) * _PARTS)


def _middle(bucket: int) -> float:
    exponent, part = divmod(bucket, _PARTS)
    return math.ldexp(0.5 + (part + 0.5) / (2 * _PARTS), exponent)
