"""A future of a Grid is a standard one, but for its `cancel`."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, InvalidStateError, as_completed, wait

import pytest

from taskgrid.client.future import TaskFuture


class Nobody:
    """An owner that takes nothing back."""

    def cancel(self, future: TaskFuture[int]) -> bool:
        """Refuse."""
        return future.cancelled()

    def address(self, index: int) -> str:
        """Return a task's address."""
        return f"17.{index}"


@pytest.fixture
def future() -> TaskFuture[int]:
    """Make a future that nobody resolved."""
    return TaskFuture(Nobody(), b"[1]")


def test_a_waiting_thread_hears_of_the_result(future: TaskFuture[int]) -> None:
    """However many wait, each is woken."""
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(future.result(20))) for _ in range(3)]
    for thread in threads:
        thread.start()
    future.set_result(7)
    for thread in threads:
        thread.join(20)
    assert found == [7, 7, 7]


def test_waiting_gives_up_at_its_timeout(future: TaskFuture[int]) -> None:
    """As any future does, also when it is waited for again."""
    for _ in range(2):
        with pytest.raises(TimeoutError):
            future.result(0.01)
    assert wait([future], timeout=0.01).not_done == {future}


def test_as_completed_and_callbacks_hear_of_it(future: TaskFuture[int]) -> None:
    """The standard library's tools reach into a future."""
    heard: list[int] = []
    future.add_done_callback(lambda done: heard.append(done.result()))
    threading.Timer(0.01, future.resolve, [3]).start()
    assert [done.result() for done in as_completed([future], timeout=20)] == [3]
    assert heard == [3]


def test_an_exception_object_resolves_as_an_exception(future: TaskFuture[int]) -> None:
    """A failure's place in a batch holds its exception."""
    future.resolve(KeyError("x"))
    with pytest.raises(KeyError):
        future.result()


def test_a_cancelled_task_ends_a_future_for_good(future: TaskFuture[int]) -> None:
    """Whoever waits is told, and nothing can be added."""
    future.resolve(CancelledError())
    assert (future.cancelled(), future.done(), future.cancel()) == (True, True, True)
    assert wait([future], timeout=0).done == {future}
    with pytest.raises(InvalidStateError):
        future.set_result(1)


def test_a_future_knows_its_tasks_address_once_it_has_an_index(future: TaskFuture[int]) -> None:
    """What a log line or `taskgrid explain` needs."""
    before, future.index = future.task, 4
    assert (before, future.task) == ("", "17.4")
