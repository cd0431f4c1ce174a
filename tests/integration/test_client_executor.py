"""`Grid` as a standard executor, against a real master and workers."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, Future, as_completed, wait
from pathlib import Path

import pytest
from client_tasks import Strange, add, dies, fails_at_three, hangs, notes, raises_strange, same, waits_for
from client_world import eventually, grid

from taskgrid import Grid
from taskgrid.client.future import TaskFuture
from taskgrid.client.stream import Stream
from taskgrid.client.upload import Upload
from taskgrid.errors import TaskCrashed, TaskFailed, TimeLimitExceeded, UsageError
from taskgrid.lifecycle import TaskState
from taskgrid.model import JobView
from taskgrid.transport.proxies import TaskQueue

__all__ = ["grid"]


def door(grid: Grid) -> Grid:
    """Make a second Grid of the same master."""
    assert grid._cluster is not None
    return Grid(*grid._cluster.servers, key_file=grid._cluster.key_file)


def held(grid: Grid, futures: list[TaskFuture[str]]) -> int:
    """Count those of the futures' tasks that workers hold; they may still hold what others have cancelled."""
    holds = {
        f"{job}.{index}"
        for worker in grid.control.workers()
        for job, runs in worker.holds.items()
        for start, stop in runs
        for index in range(start, stop)
    }
    return sum(future.task in holds for future in futures)


def test_submit_gives_a_standard_future(grid: Grid) -> None:
    """Whatever takes an Executor takes a Grid."""
    future = grid.submit(add, 1, b=2)
    assert isinstance(grid, Executor)
    assert isinstance(future, Future)
    assert future.result(20) == 3


def test_a_function_given_by_name_runs_too(grid: Grid) -> None:
    """A service need not import what it submits."""
    assert grid.submit("client_tasks:add", 1).result(20) == 101
    assert list(grid.map("client_tasks:same", [1, 2])) == [1, 2]


def test_many_submits_become_few_chunks_of_one_job(grid: Grid) -> None:
    """Calls made close together travel together."""
    before = len(grid.jobs())
    futures = [grid.submit(same, n) for n in range(3000)]
    assert [future.result(20) for future in futures] == list(range(3000))
    assert len(grid.jobs()) <= before + 1


def test_the_standard_librarys_tools_take_the_futures(grid: Grid) -> None:
    """as_completed, wait and asyncio know nothing of TaskGrid."""
    futures = [grid.submit(same, n) for n in range(20)]
    assert {future.result() for future in as_completed(futures, timeout=20)} == set(range(20))
    assert not wait([grid.submit(same, 1)], timeout=20).not_done

    async def gather() -> list[int]:
        return await asyncio.gather(*(asyncio.wrap_future(grid.submit(same, n)) for n in range(5)))

    assert asyncio.run(gather()) == [0, 1, 2, 3, 4]


def test_map_gives_results_in_order(grid: Grid) -> None:
    """As every executor's map does; several iterables are zipped."""
    assert list(grid.map(same, range(10_000))) == list(range(10_000))
    assert list(grid.map(add, [1, 2], itertools.count(10))) == [11, 13]
    assert list(grid.map(same, [])) == []


def test_map_reads_an_endless_iterable_no_further_than_its_window(grid: Grid) -> None:
    """At most `window` tasks are submitted and not yet read."""
    assert grid._cluster is not None
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    with Grid(*grid._cluster.servers, key_file=grid._cluster.key_file, window=50) as small:
        results = small.map(same, endless())
        assert list(itertools.islice(results, 500)) == list(range(1, 501))
        assert taken <= 550
        results.close()


def test_closing_a_map_early_cancels_the_rest(grid: Grid, tmp_path: Path) -> None:
    """Nobody waits for what nobody will read."""
    before = {view.id for view in grid.jobs()}
    results = grid.map(waits_for, [str(tmp_path / "never")] * 50)

    def job() -> JobView | None:
        return next((view for view in grid.jobs() if view.id not in before), None)

    eventually(lambda: job() is not None)
    results.close()
    eventually(lambda: (view := job()) is not None and view.complete)
    view = job()
    assert view is not None
    assert view.counts == {TaskState.CANCELLED: view.total}


def test_map_raises_at_the_failed_item_and_the_others_run(grid: Grid) -> None:
    """Everything before it is given; nothing is stopped."""
    results = grid.map(fails_at_three, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three is not allowed"):
        next(results)

    def ended() -> bool:
        views = [each for each in grid.jobs() if each.function == "client_tasks:fails_at_three"]
        return any(each.complete and each.total == 6 and each.counts.get("succeeded") == 5 for each in views)

    eventually(ended)


def test_map_tells_of_an_error_in_its_iterable_after_the_results_before_it(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader learns why there is no more, also when it reads on as soon as the job is complete."""
    seal, read = Upload.seal, threading.Event()

    def seal_and_linger(upload: Upload, proxy: TaskQueue) -> None:
        seal(upload, proxy)
        read.wait(50)

    monkeypatch.setattr(Upload, "seal", seal_and_linger)

    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    results = grid.map(same, items())
    assert next(results) == 1
    try:
        with pytest.raises(LookupError, match="no more"):
            next(results)
    finally:
        read.set()


def test_map_names_the_item_that_does_not_fit(grid: Grid) -> None:
    """Items are checked before they leave."""
    with pytest.raises(UsageError, match="item 2"):
        list(grid.map(same, [1, 2, "x"]))


def test_map_gives_up_at_its_timeout(grid: Grid, tmp_path: Path) -> None:
    """As every executor's map does."""
    go = tmp_path / "go"
    with pytest.raises(TimeoutError):
        next(grid.map(waits_for, [str(go)], timeout=0.2))
    go.touch()


def test_a_built_in_exception_comes_back_as_itself(grid: Grid) -> None:
    """With its message, and the remote traceback as cause."""
    error = grid.submit(fails_at_three, 3).exception(20)
    assert (type(error), str(error)) == (ValueError, "three is not allowed")
    assert error is not None
    assert "client_tasks.py" in str(error.__cause__)


def test_other_failures_come_back_as_what_happened(grid: Grid) -> None:
    """A strange exception is TaskFailed; a crash and a time limit are kinds of it."""
    strange = grid.submit(raises_strange, 1).exception(20)
    assert type(strange) is TaskFailed
    assert strange.type.endswith(Strange.__qualname__)
    assert isinstance(grid.submit(hangs, 1).exception(20), TimeLimitExceeded)
    assert isinstance(grid.submit(dies, 3).exception(30), TaskCrashed)


def test_cancel_is_true_for_what_no_worker_holds(grid: Grid, tmp_path: Path) -> None:
    """And false for what runs, or has ended: what nobody offers is held by nobody, however far workers reach ahead."""
    go = tmp_path / "go"
    running = [grid.submit(waits_for, str(go)) for _ in range(2)]
    eventually(lambda: held(grid, running) == 2)
    queued = [grid.submit("client_tasks:nobody_offers_this", n) for n in range(5)]
    try:
        assert not any(future.cancel() for future in running)
        assert all(future.cancel() for future in queued)
        assert all(future.cancelled() for future in queued)
        with pytest.raises(CancelledError):
            queued[-1].result(0)
    finally:
        go.touch()
    assert [future.result(20) for future in running] == [str(go)] * 2
    assert not any(future.cancel() for future in running)


def test_what_was_cancelled_never_runs_and_the_rest_does(grid: Grid, tmp_path: Path) -> None:
    """Behind two tasks that run, some are held by a worker already: each future tells the truth about its own task."""
    go, ran = tmp_path / "go", tmp_path / "ran"
    ran.touch()
    running = [grid.submit(waits_for, str(go)) for _ in range(2)]
    eventually(lambda: held(grid, running) == 2)
    queued = [grid.submit(notes, str(ran), str(n)) for n in range(50)]
    try:
        cancelled = [n for n, future in enumerate(queued) if future.cancel()]
    finally:
        go.touch()
    wait([*running, *queued], timeout=30)
    assert cancelled == [n for n, future in enumerate(queued) if future.cancelled()]
    assert len(cancelled) >= 25, "two workers of one slot reach ahead by a few tasks only"
    assert sorted(map(int, ran.read_text().split())) == sorted(set(range(50)) - set(cancelled))


def test_result_may_come_before_the_flusher_wakes(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that meets a stream at rest leaves from its own thread; whoever is slow then loses nothing."""
    assert grid.submit(same, 0).result(20) == 0
    streams = grid._streams
    eventually(streams.idle_proxy)
    with monkeypatch.context() as held_up:
        slept: list[Stream] = []
        held_up.setattr(streams, "notice", slept.append)
        early = grid.submit(same, 1)
        assert early.result(20) == 1
        behind = [grid.submit(same, n) for n in (2, 3)]
    streams.notice(slept[0])
    assert [future.result(20) for future in behind] == [2, 3]
    assert grid.submit(same, 4).result(20) == 4


def test_flush_returns_when_everything_is_accepted(grid: Grid) -> None:
    """From then on a future's task survives."""
    futures = [grid.submit(same, n) for n in range(2500)]
    grid.flush()
    assert all(future.task for future in futures)
    wait(futures, timeout=20)


def test_any_thread_may_use_it(grid: Grid) -> None:
    """Threads share a Grid without a lock of theirs."""
    found: list[int] = []

    def use(base: int) -> None:
        futures = [grid.submit(same, base + n) for n in range(200)]
        found.extend(future.result(20) for future in futures)
        found.extend(grid.map(same, range(base + 200, base + 300)))

    threads = [threading.Thread(target=use, args=(base,)) for base in range(0, 2000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [base + n for base in range(0, 2000, 500) for n in range(300)]


def test_a_forked_child_makes_its_own_connections(grid: Grid) -> None:
    """And leaves its parent's alone."""
    grid.submit(same, 1).result(20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that a process with threads forks is the point
        child = os.fork()
    if child == 0:
        try:
            right = grid.submit(same, 7).result(20) == 7 and list(grid.map(same, [1, 2])) == [1, 2]
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert grid.submit(same, 2).result(20) == 2


def test_leaving_waits_for_what_was_submitted_and_keeps_a_maps_results(grid: Grid) -> None:
    """As `with ThreadPoolExecutor()` does."""
    with door(grid) as other:
        futures = [other.submit(same, n) for n in range(100)]
        results = other.map(same, range(100))
    assert all(future.done() for future in futures)
    assert list(results) == list(range(100))
    with pytest.raises(RuntimeError, match="after shutdown"):
        other.submit(same, 1)


def test_leaving_by_an_exception_cancels_what_is_queued_and_does_not_wait(grid: Grid, tmp_path: Path) -> None:
    """An error is not held up by work that nobody wants any more."""
    go = tmp_path / "go"
    other = door(grid)
    futures = [other.submit(waits_for, str(go)) for _ in range(50)]
    other.flush()
    with pytest.raises(ZeroDivisionError), other:
        raise ZeroDivisionError
    # Had it waited for what runs, it would wait still.
    assert sum(future.cancelled() for future in futures) >= 40
    go.touch()


def test_shutdown_can_cancel_what_is_queued_and_waits_for_what_runs(grid: Grid, tmp_path: Path) -> None:
    """`cancel_futures` means the same as in the standard library."""
    go = tmp_path / "go"
    other = door(grid)
    futures = [other.submit(waits_for, str(go)) for _ in range(50)]
    eventually(lambda: held(grid, futures) >= 2)

    def go_once_cancelled() -> None:
        eventually(lambda: sum(future.cancelled() for future in futures) >= 40)
        assert not all(future.done() for future in futures)
        go.touch()

    goer = threading.Thread(target=go_once_cancelled)
    goer.start()
    other.shutdown(cancel_futures=True)
    assert all(future.done() for future in futures)
    goer.join()
    assert 40 <= sum(future.cancelled() for future in futures) < 50


def test_no_thread_is_left_after_the_end(grid: Grid) -> None:
    """Every thread has an end."""
    before = set(threading.enumerate())
    with door(grid) as other:
        other.submit(same, 1).result(20)
        list(other.map(same, range(10)))
    eventually(lambda: set(threading.enumerate()) <= before)
