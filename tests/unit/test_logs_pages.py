"""Pages of slices come in order, some slices are asked ahead, and nothing is left asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.logs import Found
from taskgrid.logs.pages import AHEAD, in_order


class Workers:
    """Slices of so many pages each; what was asked of them and not answered, and the most of that at any time."""

    def __init__(self, pages: list[int], broken: frozenset[tuple[int, int]] = frozenset()) -> None:
        self.open: list[Found] = []
        self.most = 0
        self.read = 0
        self._pages = pages
        self._broken = broken

    def page(self, slice_: int, number: int) -> Found:
        """Return a page of a slice; `lines` says of which, `hits` which one."""
        return Found(lines=slice_, hits=number, next=number + 1 if number + 1 < self._pages[slice_] else None)

    def firsts(self) -> Iterator[Found]:
        """Yield the first page of each slice."""
        for slice_ in range(len(self._pages)):
            self.read += 1
            yield self.page(slice_, 0)

    def ask(self, page: Found) -> Question:
        """Begin to ask for the page behind one."""
        self.open.append(page)
        self.most = max(self.most, len(self.open))
        return Question(self, page)

    def answer(self, page: Found) -> Found | BaseException:
        """Return the page behind one."""
        self.open.remove(page)
        place = (page.lines, page.hits + 1)
        return OSError(f"{place}") if place in self._broken else self.page(*place)

    def whole(self) -> list[tuple[int, int]]:
        """Return all pages, in order."""
        return [(slice_, number) for slice_, count in enumerate(self._pages) for number in range(count)]


class Question:
    """A page that was asked for."""

    def __init__(self, workers: Workers, page: Found) -> None:
        self._workers = workers
        self._page = page

    def answers(self, *, raising: bool) -> Iterator[Found | BaseException]:
        """Yield it."""
        assert not raising
        yield self._workers.answer(self._page)

    def drop(self) -> None:
        """Take it back."""
        self._workers.open.remove(self._page)


@settings(deadline=None)
@given(st.lists(st.integers(1, 5), max_size=30))
def test_all_pages_come_in_order_and_few_are_asked_at_once(pages: list[int]) -> None:
    """Whatever has how many; of slices that go on, some are asked before it is their turn, and a bounded number."""
    workers = Workers(pages)
    found = [(page.lines, page.hits) for page in in_order(workers.firsts(), workers.ask) if isinstance(page, Found)]
    assert found == workers.whole()
    assert not workers.open
    assert workers.most <= AHEAD + 1


def test_where_all_slices_go_on_more_and_more_are_asked_ahead() -> None:
    """As many as workers may be there for, but not at once: each that has not ended holds up the page before it."""
    workers = Workers([2] * 30)
    most = []
    for page in in_order(workers.firsts(), workers.ask):
        assert isinstance(page, Found)
        most.append(workers.read - page.lines - 1)
    assert max(most[:2]) <= 2
    assert workers.most == AHEAD + 1


def test_the_first_page_waits_for_no_other_slice() -> None:
    """What is found is given at once; only who has to wait anyway looks ahead."""
    workers = Workers([2, 1, 1])
    pages = in_order(workers.firsts(), workers.ask)
    next(pages)
    assert (workers.read, workers.most) == (1, 1)
    next(pages)
    assert workers.read == 3


def test_whoever_leaves_early_takes_back_what_was_asked() -> None:
    """At any page: nothing is left for workers to do that nobody reads."""
    for leaves_after in range(1, 13):
        workers = Workers([3] * 4)
        with closing(in_order(workers.firsts(), workers.ask)) as pages:
            for _ in range(leaves_after):
                next(pages)
        assert not workers.open


def test_a_page_that_can_not_be_read_ends_its_slice_and_no_other() -> None:
    """The error stands in its place."""
    workers = Workers([3, 3, 1], broken=frozenset({(0, 1), (1, 2)}))
    found = [
        (page.lines, page.hits) if isinstance(page, Found) else str(page)
        for page in in_order(workers.firsts(), workers.ask)
    ]
    assert found == [(0, 0), "(0, 1)", (1, 0), (1, 1), "(1, 2)", (2, 0)]
    assert not workers.open
