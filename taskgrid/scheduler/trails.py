"""What must be remembered of tasks that did not just run and end: floors, counts, histories, backoffs.

Every task of a job may come to have a past, so a trail is 17 bytes in columns: where it stands in its
page of 256 tasks, its floor, the number of its past, and when it is due. Tasks whose attempts went alike
share one `Past`. How many different ones a job keeps in full is bounded: beyond that a history is
cut to its newest line without the error's words, which the journal has. Knows nothing of states.
"""

from __future__ import annotations

import heapq
import math
import sys
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from taskgrid.model import Run, Token
from taskgrid.scheduler.runs import as_runs

_BITS: Final = 8
_SIZE: Final = 1 << _BITS
_TICKS: Final = 100
"""A second has so many of the units in which backoffs are kept, counted from the job's creation."""
_LAST_TICK: Final = (1 << 32) - 1
_MOST_IN_FULL: Final = 1000
_MOST_LINES: Final = 8
_COUNTER_BITS: Final = 40


class Past(NamedTuple):
    """How a task's attempts went."""

    attempts: int = 0
    """Attempts that ended or were lost."""
    errors: int = 0
    crashes: int = 0
    lost: int = 0
    alone: bool = False
    """Lease it alone in its bundle: it crashed once, or is a suspect."""
    not_on: str = ""
    """It waits for a host other than this one."""
    history: tuple[str, ...] = ()
    isolated: bool = False
    """Lease it alone on its worker: one that had it alone in its bundle was lost."""

    def noting(self, line: str) -> Past:
        """Return it with one more line of history; the oldest fall away."""
        return self._replace(history=(*self.history, line)[-_MOST_LINES:])


NO_PAST: Final = Past()


def rank(token: Token) -> int:
    """Return a number that orders tokens as their epochs and counters do; 0 is below all."""
    return token.epoch << _COUNTER_BITS | token.counter


class _Page:
    """The trails of up to 256 neighbours, in columns sorted by `offsets`."""

    __slots__ = ("dues", "floors", "offsets", "pasts", "rings_at")

    def __init__(self) -> None:
        self.offsets = bytearray()
        self.floors = array("Q")
        self.pasts = array("I")
        self.dues = array("I")
        self.rings_at = _LAST_TICK + 1

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Return from and up to where the columns have these offsets."""
        return bisect_left(self.offsets, start), bisect_left(self.offsets, stop)

    def replace(self, low: int, high: int, new: _Page) -> None:
        """Put the columns of another page in place of a part of these."""
        self.offsets[low:high] = new.offsets
        self.floors[low:high] = new.floors
        self.pasts[low:high] = new.pasts
        self.dues[low:high] = new.dues

    def fit(self) -> None:
        """Give back the room to grow, of which a full page has no use."""
        if len(self.offsets) == _SIZE:
            self.offsets = bytearray(bytes(self.offsets))
            self.floors, self.pasts, self.dues = self.floors[:], self.pasts[:], self.dues[:]

    def cut(self, low: int, high: int, *, only: set[int]) -> _Page:
        """Return some of the entries of a part, without their dues."""
        new = _Page()
        for at in range(low, high):
            if self.pasts[at] in only:
                new.offsets.append(self.offsets[at])
                new.floors.append(self.floors[at])
                new.pasts.append(self.pasts[at])
                new.dues.append(0)
        return new


class _Pasts:
    """Each different past once, with the number of tasks that have it."""

    def __init__(self) -> None:
        self._numbers: dict[Past, int] = {NO_PAST: 0}
        self._pasts: list[Past] = [NO_PAST]
        self._uses = [1]
        self._free: list[int] = []

    def __getitem__(self, number: int) -> Past:
        return self._pasts[number]

    def number(self, past: Past, uses: int) -> int:
        """Return a past's number, and count its tasks."""
        number = self._numbers.get(past)
        if number is None:
            past = past if len(self._numbers) < _MOST_IN_FULL else _in_brief(past)
            number = self._numbers.get(past)
        if number is None:
            number = self._numbers[past] = self._free.pop() if self._free else len(self._pasts)
            if number == len(self._pasts):
                self._pasts.append(past)
                self._uses.append(0)
            self._pasts[number] = past
        self._uses[number] += uses
        return number

    def release(self, number: int, uses: int = 1) -> None:
        """Count tasks that have this past no more; the last takes it away."""
        self._uses[number] -= uses
        if number and not self._uses[number]:
            del self._numbers[self._pasts[number]]
            self._free.append(number)

    def all(self) -> tuple[Past, ...]:
        """Return the pasts by number."""
        return tuple(self._pasts)


class Trails:
    """The trails of one job's tasks."""

    def __init__(self, since: float) -> None:
        self._since = since
        self._pages: dict[int, _Page] = {}
        self._pasts = _Pasts()
        self._due: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._pages)

    def __len__(self) -> int:
        return sum(len(page.offsets) for page in self._pages.values())

    # ------------------------------------------------------------ one task

    def past(self, index: int) -> Past:
        """Return how a task's attempts went."""
        found = self._find(index)
        return self._pasts[found[0].pasts[found[1]]] if found else NO_PAST

    def floor(self, index: int) -> int:
        """Return the rank below which reports on a task are stale; 0: none is."""
        found = self._find(index)
        return found[0].floors[found[1]] if found else 0

    def due_at(self, index: int) -> float | None:
        """Return when a task's backoff is over, to a hundredth of a second; None if it has none."""
        found = self._find(index)
        ticks = found[0].dues[found[1]] if found else 0
        return self._since + ticks / _TICKS if ticks else None

    def put(self, index: int, past: Past, *, floor: int | None = None, due_at: float = 0.0) -> None:
        """Note a task's past, its floor if it gets another one, and its backoff if it has one."""
        page, at = self._entry(index)
        before, page.pasts[at] = page.pasts[at], self._pasts.number(past, 1)
        self._pasts.release(before)
        if floor is not None:
            page.floors[at] = floor
        page.dues[at] = self._ticks(due_at) if due_at else 0
        if due_at:
            self._ring(index >> _BITS, page, page.dues[at])

    # ------------------------------------------------------------ runs of tasks

    def update(self, start: int, stop: int, change: Callable[[Past], Past], *, floor: int) -> None:
        """Give all tasks of a run a floor and a changed past; backoffs end."""
        for number, low, high in _pages(start, stop):
            page = self._pages.get(number) or self._pages.setdefault(number, _Page())
            first, last = page.span(low, high)
            new = _Page()
            width = high - low
            new.offsets = bytearray(range(low, high))
            new.floors = array("Q", [floor]) * width
            new.dues = array("I", [0]) * width
            fresh = width - (last - first)
            new.pasts = array("I", [self._pasts.number(change(NO_PAST), fresh) if fresh else 0]) * width
            for at in range(first, last):
                before = page.pasts[at]
                new.pasts[page.offsets[at] - low] = self._pasts.number(change(self._pasts[before]), 1)
                self._pasts.release(before)
            page.replace(first, last, new)
            page.fit()

    def drop(self, start: int, stop: int) -> None:
        """Forget what only unfinished tasks need; a history stays, to be told."""
        self._drop(start, stop, told=True)

    def erase(self, start: int, stop: int) -> None:
        """Forget all of a run of tasks."""
        self._drop(start, stop, told=False)

    def within(self, start: int, stop: int) -> Iterator[tuple[int, Past]]:
        """Yield the tasks of a run that have a trail, in order."""
        for number, low, high in self._overlapping(start, stop):
            page = self._pages[number]
            for at in range(*page.span(low, high)):
                yield number << _BITS | page.offsets[at], self._pasts[page.pasts[at]]

    def pieces(self, start: int, stop: int) -> list[tuple[Run, Past]]:
        """Return a run in pieces of one past each."""
        pieces: list[tuple[Run, Past]] = []
        at = start
        for index, past in self.within(start, stop):
            if at < index:
                pieces.append(((at, index), NO_PAST))
            if pieces and pieces[-1][1] == past:
                pieces[-1] = ((pieces[-1][0][0], index + 1), past)
            else:
                pieces.append(((index, index + 1), past))
            at = index + 1
        if at < stop:
            pieces.append(((at, stop), NO_PAST))
        return pieces

    # ------------------------------------------------------------ backoffs

    def next_due(self) -> float:
        """Return when the next backoff may be over; infinity if there is none."""
        return self._since + self._due[0][0] / _TICKS if self._due else math.inf

    def take_due(self, now: float) -> list[Run]:
        """End the backoffs that are over, and return their tasks."""
        until = math.floor((now - self._since) * _TICKS)
        found: list[int] = []
        while self._due and self._due[0][0] <= until:
            ticks, number = heapq.heappop(self._due)
            page = self._pages.get(number)
            if page and page.rings_at == ticks:
                found += self._take_due(number, page, until)
        return as_runs(sorted(found))

    def _take_due(self, number: int, page: _Page, until: int) -> list[int]:
        found = [at for at, due in enumerate(page.dues) if 0 < due <= until]
        for at in found:
            page.dues[at] = 0
        page.rings_at = _LAST_TICK + 1
        if left := [due for due in page.dues if due]:
            self._ring(number, page, min(left))
        return [number << _BITS | page.offsets[at] for at in found]

    def _ring(self, number: int, page: _Page, ticks: int) -> None:
        if ticks < page.rings_at:
            page.rings_at = ticks
            heapq.heappush(self._due, (ticks, number))

    def _ticks(self, at: float) -> int:
        return max(1, min(math.ceil((at - self._since) * _TICKS), _LAST_TICK))

    # ------------------------------------------------------------ pages

    def _find(self, index: int) -> tuple[_Page, int] | None:
        page = self._pages.get(index >> _BITS)
        if page is None:
            return None
        offset = index & (_SIZE - 1)
        at = bisect_left(page.offsets, offset)
        return (page, at) if at < len(page.offsets) and page.offsets[at] == offset else None

    def _entry(self, index: int) -> tuple[_Page, int]:
        page = self._pages.get(index >> _BITS) or self._pages.setdefault(index >> _BITS, _Page())
        offset = index & (_SIZE - 1)
        at = bisect_left(page.offsets, offset)
        if at == len(page.offsets) or page.offsets[at] != offset:
            page.offsets.insert(at, offset)
            page.floors.insert(at, 0)
            page.pasts.insert(at, self._pasts.number(NO_PAST, 1))
            page.dues.insert(at, 0)
            page.fit()
        return page, at

    def _overlapping(self, start: int, stop: int) -> Iterable[tuple[int, int, int]]:
        if (stop - start) >> _BITS > len(self._pages):
            first, last = start >> _BITS, stop >> _BITS
            numbers = sorted(number for number in self._pages if first <= number <= last)
            return [(number, low, high) for number in numbers for _, low, high in _pages(*_part(number, start, stop))]
        return [each for each in _pages(start, stop) if each[0] in self._pages]

    def _drop(self, start: int, stop: int, *, told: bool) -> None:
        for number, low, high in self._overlapping(start, stop):
            page = self._pages[number]
            first, last = page.span(low, high)
            uses = Counter(page.pasts[first:last])
            kept = {each for each in uses if told and self._pasts[each].history}
            page.replace(first, last, page.cut(first, last, only=kept) if kept else _Page())
            for each in uses.keys() - kept:
                self._pasts.release(each, uses[each])
            if not page.offsets:
                del self._pages[number]

    # ------------------------------------------------------------ columns

    def columns(self) -> tuple[tuple[Past, ...], list[bytes]]:
        """Return the pasts, and the columns: numbers and sizes of pages, offsets, floors, pasts, dues."""
        pages = self._pages
        numbers, sizes = array("Q", pages), array("H", (len(page.offsets) for page in pages.values()))
        columns = [
            _stored(numbers),
            _stored(sizes),
            b"".join(page.offsets for page in pages.values()),
            b"".join(_stored(page.floors) for page in pages.values()),
            b"".join(_stored(page.pasts) for page in pages.values()),
            b"".join(_stored(page.dues) for page in pages.values()),
        ]
        return self._pasts.all(), columns

    @classmethod
    def restored(cls, since: float, pasts: Iterable[Past], columns: list[bytes]) -> Trails:
        """Return the trails of which `columns` told."""
        new = cls(since)
        by_number = tuple(pasts)
        numbers, sizes = _loaded("Q", columns[0]), _loaded("H", columns[1])
        floors, mine, dues = _loaded("Q", columns[3]), _loaded("I", columns[4]), _loaded("I", columns[5])
        now = {each: new._pasts.number(by_number[each], uses) for each, uses in Counter(mine).items()}
        at = 0
        for number, size in zip(numbers, sizes, strict=True):
            page = new._pages[number] = _Page()
            page.offsets = bytearray(columns[2][at : at + size])
            page.floors, page.dues = floors[at : at + size], dues[at : at + size]
            page.pasts = array("I", map(now.__getitem__, mine[at : at + size]))
            if left := [due for due in page.dues if due]:
                new._ring(number, page, min(left))
            at += size
        return new


def _pages(start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield the pages of a run, and from and up to which offset it has each."""
    while start < stop:
        number, low = start >> _BITS, start & (_SIZE - 1)
        high = min(_SIZE, low + stop - start)
        yield number, low, high
        start += high - low


def _part(number: int, start: int, stop: int) -> Run:
    return max(start, number << _BITS), min(stop, (number + 1) << _BITS)


def _in_brief(past: Past) -> Past:
    newest = past.history[-1:]
    return past._replace(history=tuple(": ".join(line.split(": ", 2)[:2]) for line in newest))


def _stored(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _loaded(code: str, stored: bytes) -> array[int]:
    column = array(code, stored)
    if sys.byteorder == "big":
        column.byteswap()
    return column
