"""What a child was sent: every task leaves exactly once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgrid.model import JobNumber, TaskOptions, Token
from taskgrid.transport.protocol import Bundle
from taskgrid.worker.assigned import Assigned
from taskgrid.worker.frames import Nonsense
from taskgrid.worker.held import Lease, Work
from taskgrid.worker.positions import indices


def work(first: int, count: int) -> Work:
    """Return a work of consecutive tasks, each with its own index as payload."""
    runs = ((first, first + count),)
    bundle = Bundle(token=Token(1, 1, ""), job=JobNumber(1), function="m:f", runs=runs, options=TaskOptions())
    return Work(Lease(bundle, 0.0), runs, b"\n".join(b"%d" % index for index in range(first, first + count)))


def tasks(works: list[Work]) -> list[int]:
    """Return the tasks of works, checking that each has its own payload."""
    found = [index for each in works for index in indices(each.runs)]
    assert [int(line) for each in works for line in each.payload.split(b"\n")] == found
    return found


def test_ordinals_go_on_over_works() -> None:
    """One word of shared memory can name any task of a child's life."""
    assigned = Assigned()
    assert (assigned.place(work(0, 3)), assigned.place(work(50, 2)), assigned.next) == (0, 3, 5)
    assert assigned.find(4)[1] == 51
    assert assigned.find(5) is None


def test_tasks_end_in_order_or_not_at_all() -> None:
    """A child that claims anything else is not believed."""
    assigned = Assigned()
    assigned.place(work(0, 3))
    with pytest.raises(Nonsense):
        assigned.end(1, 1)
    with pytest.raises(Nonsense):
        assigned.end(0, 4)
    assert assigned.end(0, 3)[1] == ((0, 3),)
    with pytest.raises(Nonsense):
        assigned.end(3, 1)


def test_the_blamed_task_alone_stays_away() -> None:
    """What a dead child leaves is everything that had not ended, but the one that is to blame."""
    assigned = Assigned()
    assigned.place(work(0, 4))
    assigned.place(work(10, 2))
    assigned.end(0, 1)
    assert tasks(assigned.remove_all(but=2)) == [1, 3, 10, 11]
    assert not assigned.placed


@given(st.lists(st.tuples(st.sampled_from(["place", "end", "take", "rests"]), st.integers(1, 5)), max_size=40))
def test_every_task_leaves_exactly_once(steps: list[tuple[str, int]]) -> None:
    """Whatever is sent, ended and taken back in whatever order, none is lost and none is doubled."""
    assigned, placed, left = Assigned(), 0, []
    for step, number in steps:
        head = next(iter(assigned.placed), None)
        if step == "place":
            assigned.place(work(placed, number))
            placed += number
        elif step == "end" and head is not None:
            left += [*indices(assigned.end(head.ended, min(number, head.stop - head.ended))[1])]
        elif step == "take" and head is not None:
            left += tasks(assigned.take_back(head.ended + number))
        elif step == "rests":
            assert sorted(left + tasks(assigned.rests())) == list(range(placed))
    assert sorted(left + tasks(assigned.remove_all())) == list(range(placed))
