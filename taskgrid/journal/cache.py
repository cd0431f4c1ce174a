"""A store of recent things by owner and number, bounded by their bytes: the least recently used go.

The journal writes what it commits here too, so that leases and fetches of recent work never wait
for the disk. Things are found by their number, or by the greatest number not above a given one.
Safe to call from any thread. It knows nothing of what it keeps.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from threading import Lock
from typing import Final, Generic, TypeVar

V = TypeVar("V")

_KEPT: Final = 0.9  # of the bound, when it was passed: so that making room is not each newcomer's work


class Cache(Generic[V]):
    """Up to `most` bytes of values; a weight is in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._weight = 0
        self._lock = Lock()
        self._by_use: OrderedDict[tuple[int, int], tuple[V, int]] = OrderedDict()
        self._numbers: dict[int, list[int]] = {}

    def put(self, owner: int, number: int, value: V, weight: int) -> None:
        """Keep a value, in the place of one of the same number."""
        with self._lock:
            if (owner, number) in self._by_use:
                self._remove(owner, number)
            self._by_use[owner, number] = value, weight
            self._weight += weight
            numbers = self._numbers.setdefault(owner, [])
            if not numbers or numbers[-1] < number:
                numbers.append(number)
            else:
                insort(numbers, number)
            if self._weight > self._most:
                self._make_room()

    def get(self, owner: int, number: int) -> V | None:
        """Return the value under a number, and count it as used."""
        with self._lock:
            return self._use(owner, number)

    def at_or_before(self, owner: int, number: int) -> V | None:
        """Return the value under the greatest number that is kept and not above `number`."""
        with self._lock:
            numbers = self._numbers.get(owner, [])
            at = bisect_right(numbers, number)
            return self._use(owner, numbers[at - 1]) if at else None

    def drop(self, owner: int, number: int) -> None:
        """Let go of one value, if it is there."""
        with self._lock:
            if (owner, number) in self._by_use:
                self._remove(owner, number)

    def forget(self, owner: int) -> None:
        """Let go of all that is an owner's."""
        with self._lock:
            for number in self._numbers.pop(owner, ()):
                self._weight -= self._by_use.pop((owner, number))[1]

    def __len__(self) -> int:
        return len(self._by_use)

    def _use(self, owner: int, number: int) -> V | None:
        held = self._by_use.get((owner, number))
        if held is None:
            return None
        self._by_use.move_to_end((owner, number))
        return held[0]

    def _remove(self, owner: int, number: int) -> None:
        self._weight -= self._by_use.pop((owner, number))[1]
        numbers = self._numbers[owner]
        del numbers[bisect_left(numbers, number)]
        if not numbers:
            del self._numbers[owner]

    def _make_room(self) -> None:
        owners = set()
        while self._weight > self._most * _KEPT and len(self._by_use) > 1:
            (owner, _), (_, weight) = self._by_use.popitem(last=False)
            self._weight -= weight
            owners.add(owner)
        for owner in owners:
            kept = [number for number in self._numbers[owner] if (owner, number) in self._by_use]
            self._numbers[owner] = kept
            if not kept:
                del self._numbers[owner]
