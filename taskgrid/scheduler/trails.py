"""What must be remembered of tasks that did not just run and end: floors, counts, histories, backoffs.

Every task of a job may come to have a past, so a trail is 10 bytes in columns: its floor, the number of its
past, and when it is due. Floors are counted from the epoch of the job's first one; one of another epoch makes its
page's column wide, and is told from those by being far greater. Tasks whose attempts went alike
share one `Past`. How many different ones a job keeps in full is bounded: beyond that a history is
cut to its newest line without the error's words, which the journal has. Knows nothing of states.
"""

from __future__ import annotations

import heapq
import math
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Final, NamedTuple

from taskgrid.model import Run, Token
from taskgrid.scheduler.pages import (
    BITS,
    DUES,
    FLOORS,
    NEVER,
    PASTS,
    SIZE,
    Page,
    filled,
    loaded,
    packed,
    stored,
)
from taskgrid.scheduler.runs import as_runs

_TICKS: Final = 100
"""A second has so many of the units in which backoffs are kept, counted from the job's creation."""
_LAST_TICK: Final = (1 << 32) - 1
_LAST_COUNTER: Final = (1 << 32) - 1
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
    was_isolated: bool = False
    """Its newest recorded lease was such a one: what a late holder has, whatever its task is to have next."""
    isolated_on: str = ""
    """The worker that got that lease, if it was such a one."""

    def with_line(self, line: str) -> tuple[str, ...]:
        """Return its history with one more line; the oldest fall away."""
        return (*self.history, line)[-_MOST_LINES:]


NO_PAST: Final = Past()


def rank(token: Token) -> int:
    """Return a number that orders tokens as their epochs and counters do; 0 is below all."""
    return token.epoch << _COUNTER_BITS | token.counter


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
        """Count tasks that have this past no more; the last takes it away, except the one of all that have none."""
        if not number:
            return
        self._uses[number] -= uses
        if not self._uses[number]:
            del self._numbers[self._pasts[number]]
            self._free.append(number)

    def all(self) -> tuple[Past, ...]:
        """Return the pasts by number."""
        return tuple(self._pasts)


class Trails:
    """The trails of one job's tasks."""

    def __init__(self, since: float) -> None:
        self._since = since
        self._pages: dict[int, Page] = {}
        self._pasts = _Pasts()
        self._base = 0
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
        kept = found[0].floors[found[1]] if found else 0
        return kept + self._base if 0 < kept <= _LAST_COUNTER else kept

    def due_at(self, index: int) -> float | None:
        """Return when a task's backoff is over, to a hundredth of a second; None if it has none."""
        found = self._find(index)
        ticks = found[0].dues[found[1]] if found else 0
        return self._since + ticks / _TICKS if ticks else None

    def put(self, index: int, past: Past, *, floor: int | None = None, due_at: float = 0.0) -> None:
        """Note a task's past, its floor if it gets another one, and its backoff if it has one."""
        page, at = self._entry(index)
        before = page.pasts[at]
        page.set_past(at, self._pasts.number(past, 1))
        self._pasts.release(before)
        if floor is not None:
            page.set_floor(at, self._kept(floor))
        page.dues[at] = self._ticks(due_at) if due_at else 0
        if due_at:
            self._ring(index >> BITS, page, page.dues[at])

    # ------------------------------------------------------------ runs of tasks

    def update(self, start: int, stop: int, change: Callable[[Past], Past], *, floor: int) -> None:
        """Give all tasks of a run a floor and a changed past; backoffs end."""
        for number, low, high in _pages(start, stop):
            page = self._pages.get(number) or self._pages.setdefault(number, Page())
            first, last = page.span(low, high)
            new = Page(range(low, high))
            width = high - low
            new.floors = filled(FLOORS, self._kept(floor), width)
            new.dues = filled(DUES, 0, width)
            fresh = width - (last - first)
            new.pasts = filled(PASTS, self._pasts.number(change(NO_PAST), fresh) if fresh else 0, width)
            for at in range(first, last):
                before = page.pasts[at]
                new.set_past(page.offsets[at] - low, self._pasts.number(change(self._pasts[before]), 1))
                self._pasts.release(before)
            page.replace(first, last, new)

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
                yield number << BITS | page.offsets[at], self._pasts[page.pasts[at]]

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

    def _take_due(self, number: int, page: Page, until: int) -> list[int]:
        found = [at for at, due in enumerate(page.dues) if 0 < due <= until]
        for at in found:
            page.dues[at] = 0
        page.rings_at = NEVER
        if left := [due for due in page.dues if due]:
            self._ring(number, page, min(left))
        return [number << BITS | page.offsets[at] for at in found]

    def _ring(self, number: int, page: Page, ticks: int) -> None:
        if ticks < page.rings_at:
            page.rings_at = ticks
            heapq.heappush(self._due, (ticks, number))

    def _ticks(self, at: float) -> int:
        return max(1, min(math.ceil((at - self._since) * _TICKS), _LAST_TICK))

    def _kept(self, floor: int) -> int:
        """Return a floor as a column has it."""
        near = floor - self._base
        if 0 < near <= _LAST_COUNTER:
            return near
        if not self._base:
            self._base = floor >> _COUNTER_BITS << _COUNTER_BITS
            return floor - self._base
        return floor

    # ------------------------------------------------------------ pages

    def _find(self, index: int) -> tuple[Page, int] | None:
        page = self._pages.get(index >> BITS)
        if page is None:
            return None
        offset = index & (SIZE - 1)
        at = bisect_left(page.offsets, offset)
        return (page, at) if at < len(page.offsets) and page.offsets[at] == offset else None

    def _entry(self, index: int) -> tuple[Page, int]:
        page = self._pages.get(index >> BITS) or self._pages.setdefault(index >> BITS, Page())
        offset = index & (SIZE - 1)
        at = bisect_left(page.offsets, offset)
        if at == len(page.offsets) or page.offsets[at] != offset:
            page.insert(at, offset)
        return page, at

    def _overlapping(self, start: int, stop: int) -> Iterable[tuple[int, int, int]]:
        if (stop - start) >> BITS > len(self._pages):
            first, last = start >> BITS, stop >> BITS
            numbers = sorted(number for number in self._pages if first <= number <= last)
            return [(number, low, high) for number in numbers for _, low, high in _pages(*_part(number, start, stop))]
        return [each for each in _pages(start, stop) if each[0] in self._pages]

    def _drop(self, start: int, stop: int, *, told: bool) -> None:
        for number, low, high in self._overlapping(start, stop):
            page = self._pages[number]
            first, last = page.span(low, high)
            uses = Counter(page.pasts[first:last])
            kept = {each for each in uses if told and self._pasts[each].history}
            page.replace(first, last, page.cut(first, last, only=kept) if kept else Page())
            for each in uses.keys() - kept:
                self._pasts.release(each, uses[each])
            if not page.offsets:
                del self._pages[number]

    # ------------------------------------------------------------ columns

    def columns(self) -> tuple[tuple[Past, ...], list[bytes]]:
        """Return the pasts, and the columns: of pages their numbers, sizes and kinds, of tasks what `Page` has."""
        pages = self._pages.values()
        codes = "".join(page.floors.typecode + page.pasts.typecode for page in pages)
        columns = [
            stored(array("Q", self._pages)),
            stored(array("H", (len(page.offsets) for page in pages))),
            b"".join(page.offsets for page in pages),
            b"".join(stored(page.floors) for page in pages),
            b"".join(stored(page.pasts) for page in pages),
            b"".join(stored(page.dues) for page in pages),
            codes.encode(),
            stored(array("Q", [self._base])),
        ]
        return self._pasts.all(), columns

    @classmethod
    def restored(cls, since: float, pasts: Iterable[Past], columns: list[bytes]) -> Trails:
        """Return the trails of which `columns` told."""
        new = cls(since)
        numbers, sizes = loaded("Q", columns[0]), loaded("H", columns[1])
        codes, base = columns[6:] or (b"QI" * len(numbers), bytes(8))  # once all pages were of one kind
        new._base = loaded("Q", base)[0]
        tasks, floors, mine, dues = map(BytesIO, columns[2:6])
        kinds = iter(codes.decode())
        for number, size in zip(numbers, sizes, strict=True):
            page = new._pages[number] = Page(tasks.read(size))
            page.floors, page.pasts = _read(next(kinds), floors, size), _read(next(kinds), mine, size)
            page.dues = _read(DUES, dues, size)
        new._take_pasts(tuple(pasts))
        return new

    def _take_pasts(self, by_number: tuple[Past, ...]) -> None:
        """Give the pasts that some task has new numbers, and set the alarms."""
        uses: Counter[int] = Counter()
        for page in self._pages.values():
            uses.update(page.pasts)
        now = {each: self._pasts.number(by_number[each], count) for each, count in uses.items()}
        for number, page in self._pages.items():
            page.pasts = packed(PASTS, map(now.__getitem__, page.pasts))
            if left := [due for due in page.dues if due]:
                self._ring(number, page, min(left))


def _read(code: str, kept: BytesIO, size: int) -> array[int]:
    return loaded(code, kept.read(size * array(code).itemsize))


def _pages(start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield the pages of a run, and from and up to which offset it has each."""
    while start < stop:
        number, low = start >> BITS, start & (SIZE - 1)
        high = min(SIZE, low + stop - start)
        yield number, low, high
        start += high - low


def _part(number: int, start: int, stop: int) -> Run:
    return max(start, number << BITS), min(stop, (number + 1) << BITS)


def _in_brief(past: Past) -> Past:
    newest = past.history[-1:]
    return past._replace(history=tuple(": ".join(line.split(": ", 2)[:2]) for line in newest))
