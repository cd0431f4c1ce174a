"""How long a job's tasks take: a histogram of powers of two, from which a quantile is read.

Attempts that failed don't count: they say nothing of the work. Old figures fade, so that a job
whose tasks grow longer gets shorter bundles.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_BUCKETS: Final = 48
_FADE_AT: Final = 20_000


class Durations:
    """Counts of durations by power of two of microseconds."""

    __slots__ = ("_counts", "_known", "_total")

    def __init__(self) -> None:
        self._counts = [0.0] * _BUCKETS
        self._total = 0.0
        self._known: dict[float, float] = {}  # quantiles that were asked for since the last `add`

    def add(self, counts: Iterable[tuple[int, int]]) -> None:
        """Add (b, n): n durations between 2**b and 2**(b+1) microseconds."""
        self._known.clear()
        for bucket, count in counts:
            self._counts[max(0, min(bucket, _BUCKETS - 1))] += count
            self._total += count
        if self._total > _FADE_AT:
            self._counts = [count / 2 for count in self._counts]
            self._total /= 2

    def quantile(self, share: float) -> float | None:
        """Return the duration in seconds below which that share lies, to a factor of 1.5; None before the first."""
        if not self._total:
            return None
        known = self._known.get(share)
        if known is None:
            known = self._known[share] = self._quantile(share)
        return known

    def _quantile(self, share: float) -> float:
        left = self._total * share
        for bucket, count in enumerate(self._counts):
            left -= count
            if left <= 0 and count:
                return 1.5e-6 * 2.0**bucket
        return 1.5e-6 * 2.0 ** (_BUCKETS - 1)
