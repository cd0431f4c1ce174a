"""Matching lines in pages and in order: what a slice's result had no room for comes while others are read.

A slice that goes on is asked for its next page as soon as it is seen, and so are those behind it, some
slices ahead: their pages wait where results wait, so that the reader holds no more than those slices' first.
Knows neither runs nor grids.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from taskgrid.logs.excerpts import Found

__all__: list[str] = []  # made for other modules, not for workers to offer

AHEAD: Final = 8
"""Slices that are looked at while one is waited for: enough for some workers, and a few megabytes."""
_MORE: Final = 2
"""Of them, those that are added while one page is waited for: one that has not ended holds that page up."""


class Asked(Protocol):
    """A page that was asked for."""

    def answers(self, *, raising: bool) -> Iterator[Any]:
        """Yield the page, waiting for it; or why there is none."""

    def drop(self) -> None:
        """Take it back."""


class _Slice(NamedTuple):
    page: Found
    asked: Asked | None
    """Its next page."""


def in_order(slices: Iterable[Found], ask: Callable[[Found], Asked]) -> Generator[Found | BaseException, None, None]:
    """Yield all pages of slices, given the first of each; an error in the place of one, and of those behind it.

    `ask` begins to ask for the page after one. What was asked for and nobody reads is taken back.
    """
    unread = iter(slices)
    ahead: deque[_Slice] = deque()

    def seen(page: Found) -> _Slice:
        return _Slice(page, ask(page) if page.next is not None else None)

    asked: Asked | None = None
    try:
        while current := ahead.popleft() if ahead else next(map(seen, unread), None):
            asked = current.asked
            yield current.page
            while asked is not None:
                ahead.extend(map(seen, islice(unread, min(_MORE, AHEAD - len(ahead)))))
                (page,) = asked.answers(raising=False)
                asked = None
                if not isinstance(page, BaseException):
                    asked = seen(page).asked
                yield page
    finally:
        for each in (asked, *(behind.asked for behind in ahead)):
            if each is not None:
                each.drop()
