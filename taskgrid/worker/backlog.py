"""The backlog: works that the pool has and no slot has taken yet, and who takes which.

Used by whoever has the pool's slots in hand. It decides where a work goes, never what becomes of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from taskgrid.worker.held import Work
from taskgrid.worker.ledger import Ledger
from taskgrid.worker.slot import Slot


class Backlog:
    """Works in the order in which they go out."""

    def __init__(self, slots: Sequence[Slot], ledger: Ledger) -> None:
        self._slots = slots
        self._ledger = ledger
        self._begun: deque[Work] = deque()  # of which something may have run; they go first
        self._new: deque[Work] = deque()

    def __len__(self) -> int:
        return len(self._begun) + len(self._new)

    def room(self) -> tuple[int, int]:
        """Return how many more works there is room for, and how many slots have nothing to do."""
        room = idle = -len(self)
        for slot in self._slots:
            more = slot.room
            room += more
            idle += more > 0 and not slot.is_busy
        return room, idle

    def put_last(self, works: Iterable[Work]) -> None:
        """Take new works."""
        self._new.extend(works)

    def put_first(self, works: list[Work]) -> None:
        """Take works that go before all others."""
        self._begun.extendleft(reversed(works))

    def spread(self, works: list[Work]) -> None:
        """Split works among the free slots; give back what there is no free slot for."""
        free = sum(slot.is_free for slot in self._slots) - len(self)
        pieces = _share(works, free) if free > 0 else works
        self._new.extend(pieces[: max(0, free)])
        self._ledger.give_back(pieces[max(0, free) :])

    def give_back(self) -> None:
        """Give all back."""
        for works in (self._begun, self._new):
            self._ledger.give_back(works)
            works.clear()

    def give_back_what_is_stuck(self) -> None:
        """Give back what is new if every slot is at a task that lasts: there was room for it, and others may have some.

        An answer to a request that was made before such a task showed itself brings it.
        """
        if self._new and all(slot.is_slow for slot in self._slots):
            self._ledger.give_back(self._new)
            self._new.clear()

    def hand_out(self, now: float) -> None:
        """Give each work to the slot with most room, as far as there is any and the ledger is not full."""
        if not len(self) or self._ledger.is_full:
            return
        for waiting in (self._begun, self._new):
            works = self._ledger.still_wanted(waiting)
            waiting.clear()
            for work in works:
                slot = self._slot_for(work, now)
                rest = work if slot is None else slot.give(work)
                if rest is not None:
                    waiting.append(rest)

    def _slot_for(self, work: Work, now: float) -> Slot | None:
        if work.lease.trusted_until <= now:
            return None
        slot = max(self._slots, key=_openness)
        return slot if slot.room > 0 else None


def _openness(slot: Slot) -> tuple[bool, int]:
    room = slot.room
    return room > 0 and not slot.is_busy, room


def _share(works: list[Work], parts: int) -> list[Work]:
    """Split the largest works until there are that many, as far as they can be split."""
    pieces = list(works)
    while len(pieces) < parts:
        largest = max(range(len(pieces)), key=lambda at: pieces[at].count)
        if pieces[largest].count < 2:
            break
        pieces[largest : largest + 1] = pieces[largest].split(pieces[largest].count // 2)
    return pieces
