"""Jobs, against a real master and workers."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from client_tasks import add, fails_at_three, same, waits_for
from client_world import eventually, grid

from taskgrid import Grid
from taskgrid.errors import ChunkRefused, UnknownJob, UsageError

__all__ = ["grid"]


def test_results_come_in_order_and_can_be_read_again(grid: Grid) -> None:
    """Reading results takes nothing away."""
    job = grid.submit_job(same, range(5000))
    assert list(job.results()) == list(range(5000))
    assert list(job.results()) == list(range(5000))


def test_star_spreads_tuples_by_position_and_dicts_by_name(grid: Grid) -> None:
    """Without it an item is the one argument, whatever its type."""
    job = grid.submit_job(add, [(1, 2), {"a": 3}, (4,)], star=True)
    assert list(job.results()) == [3, 103, 104]
    assert list(grid.submit_job(same, [7]).results()) == [7]


def test_a_job_without_items_is_complete_at_once(grid: Grid) -> None:
    """Nothing to do is done."""
    job = grid.submit_job(same, [])
    assert job.wait(10)
    assert list(job.results()) == []


def test_the_same_key_twice_is_one_job(grid: Grid) -> None:
    """A submission repeated after a crash adds nothing."""
    first = grid.submit_job(same, range(4500), key="nightly")
    again = grid.submit_job(same, iter(range(4500)), key="nightly")
    assert (again.id, again.number) == (first.id, first.number)
    assert list(again.results()) == list(range(4500))


def test_an_unfinished_submission_goes_on_under_its_key(grid: Grid) -> None:
    """What was accepted before the client died is kept; the rest is added, nothing twice."""

    def breaks_off() -> Iterator[int]:
        yield from range(5000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grid.submit_job(same, breaks_off(), key="broken-off")
    accepted = grid.job(key="broken-off").view()
    assert (accepted.total, accepted.sealed) == (2000, False)
    job = grid.submit_job(same, range(5000), key="broken-off")
    assert job.id == accepted.id
    assert list(job.results()) == list(range(5000))


def test_other_items_under_the_key_of_an_unfinished_submission_are_refused(grid: Grid) -> None:
    """One key, one list of items."""

    def breaks_off() -> Iterator[int]:
        yield from range(5000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grid.submit_job(same, breaks_off(), key="others")
    with pytest.raises(ChunkRefused):
        grid.submit_job(same, range(1, 5001), key="others")


def test_a_submission_that_fails_without_a_key_is_cancelled(grid: Grid) -> None:
    """What nobody has a handle for does not run on."""
    with pytest.raises(UsageError, match="item 5000"):
        grid.submit_job(same, [*range(5000), "x"], name="spoilt")
    eventually(lambda: all(view.total == sum(view.counts.values()) for view in grid.jobs() if view.name == "spoilt"))
    (view,) = [view for view in grid.jobs() if view.name == "spoilt"]
    assert view.counts.get("queued", 0) == 0


def test_a_job_is_taken_up_again_by_number_id_or_key(grid: Grid) -> None:
    """Later, or elsewhere."""
    job = grid.submit_job(same, range(10), key="taken-up")
    for again in (grid.job(job.number), grid.job(job.id), grid.job(key="taken-up"), grid.job(str(job.number))):
        assert list(again.results()) == list(range(10))
    with pytest.raises(UnknownJob):
        grid.job(10**9)
    with pytest.raises(UsageError):
        grid.job()


def test_results_raise_at_a_failure_or_give_it_in_its_place(grid: Grid) -> None:
    """Neither stops the other tasks."""
    job = grid.submit_job(fails_at_three, range(6))
    results = job.results()
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    given = list(job.results(failures="yield"))
    assert isinstance(given.pop(3), ValueError)
    assert given == [0, 1, 2, 4, 5]
    ((index, error),) = job.failures()
    assert (index, type(error)) == (3, ValueError)


def test_as_completed_gives_every_index_once(grid: Grid) -> None:
    """In whatever order they end."""
    job = grid.submit_job(same, range(3000))
    assert sorted(job.as_completed()) == [(n, n) for n in range(3000)]


def test_wait_says_whether_the_job_is_complete(grid: Grid, tmp_path: Path) -> None:
    """And gives up at its timeout."""
    go = tmp_path / "go"
    job = grid.submit_job(waits_for, [str(go)])
    assert not job.wait(0.2)
    go.touch()
    assert job.wait(20)


def test_progress_counts(grid: Grid) -> None:
    """What a progress bar needs."""
    job = grid.submit_job(same, range(100))
    job.wait(20)
    progress = job.progress()
    assert (progress.total, progress.ended, progress.complete, progress.share) == (100, 100, True, 1.0)


def test_a_cancelled_job_gives_cancelled_errors_and_retry_brings_it_back(grid: Grid, tmp_path: Path) -> None:
    """Cancelled tasks end, and their results say so."""
    go = tmp_path / "go"
    job = grid.submit_job(waits_for, [str(go)] * 20)
    assert job.cancel() == 20
    assert all(isinstance(error, CancelledError) for error in job.results(failures="yield"))
    go.touch()
    assert job.retry() == 20
    assert list(job.results()) == [str(go)] * 20


def test_options_of_a_submission_are_read_as_tasks_are(grid: Grid) -> None:
    """What is not given stays the function's own."""
    job = grid.submit_job(same, [1], max_attempts=3, time_limit="90s", priority=5)
    options = job.view().options
    assert (options.max_attempts, options.time_limit and options.time_limit.total_seconds(), options.priority) == (
        3,
        90.0,
        5,
    )
    with pytest.raises(UsageError, match="no option"):
        grid.submit_job(same, [1], time_limt=3)


def test_payloads_can_be_shown_beside_results(grid: Grid) -> None:
    """A failed task's arguments are there to look at."""
    job = grid.submit_job(same, range(10))
    assert list(job.payloads((3, 6))) == [b"[3]", b"[4]", b"[5]"]


def test_an_iteration_dropped_inside_a_cycle_spoils_no_later_one(grid: Grid) -> None:
    """Its connection is used again, whoever gave it back."""
    job = grid.submit_job(same, range(10))
    results = job.results()
    assert next(results) == 0
    cycle: list[object] = [results]
    cycle.append(cycle)
    del results, cycle
    gc.collect()
    assert list(job.results()) == list(range(10))
