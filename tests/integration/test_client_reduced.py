"""Jobs that merge their values, against a real master and workers."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from client_tasks import (
    same,
    third,
    third_unless_marked,
    total,
    total_but_in_workers,
    total_or_death,
    total_without_end,
    waits_for,
    waits_unless,
)
from client_world import eventually, grid

from taskgrid import Grid
from taskgrid.client.job import Job
from taskgrid.client.results import replies
from taskgrid.client.tree import Tree
from taskgrid.errors import ChunkRefused, FunctionRefused, UsageError
from taskgrid.journal.export import export
from taskgrid.journal.verify import verify
from taskgrid.transport.protocol import Order

__all__ = ["grid"]

TASKS = 20_000


def lines_of(grid: Grid, job: Job) -> Counter[str]:
    """Count a job's outcome lines: merged, of a task alone, or empty."""
    found: Counter[str] = Counter()
    for _, parts in replies(grid._link, job.id, Order.ARRIVAL):
        for line in (line for part in parts for line in part.split(b"\n")):
            found["merged" if line.startswith(b"+") else "single" if line else "empty"] += 1
    return found


@functools.cache
def by_definition(tasks: int) -> float | None:
    """Merge the thirds as the tree does, with nobody else."""
    tree = Tree[float](total)
    for index in range(tasks):
        tree.add(index, third(index))
    return tree.partial()


@pytest.mark.parametrize("reduce", [total, "client_tasks:total", "merge"])
def test_a_job_has_one_result_which_is_the_same_to_the_last_bit(grid: Grid, reduce: Callable[[Any], Any] | str) -> None:
    """Whoever merged which of its values: here most of them were merged where they were made."""
    job = grid.submit_job(third, range(TASKS), reduce=reduce)
    assert job.result(60) == by_definition(TASKS) == job.partial()
    found = lines_of(grid, job)
    assert found["merged"] > TASKS // 64 // 2, found
    assert found["empty"] == 63 * found["merged"]
    assert sum(found.values()) == TASKS
    assert by_definition(TASKS) != sum(map(third, range(TASKS))), "or the order would not show"


def test_what_workers_can_not_merge_the_client_does(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reduction that raises there costs no task and no value."""
    monkeypatch.setenv("client_tasks_submitter", "yes")
    job = grid.submit_job(third, range(1000), reduce=total_but_in_workers)
    assert job.result(60) == by_definition(1000)
    assert lines_of(grid, job) == {"single": 1000}


@pytest.mark.parametrize(
    ("reduce", "options"), [(total_or_death, {}), (total_without_end, {"time_limit": 1})], ids=["crash", "hang"]
)
def test_a_merge_that_ends_its_process_costs_no_task(
    grid: Grid, monkeypatch: pytest.MonkeyPatch, reduce: Callable[[Any], Any], options: dict[str, Any]
) -> None:
    """Its tasks run again, with no attempt lost, and the worker merges no more of the job."""
    monkeypatch.setenv("client_tasks_submitter", "yes")
    tasks = 1000
    sound = grid.submit_job(third, range(tasks), reduce=total)
    assert sound.result(60) == by_definition(tasks)
    assert lines_of(grid, sound)["merged"] > 3, "or nothing would be merged, and no process ended, in what follows"
    job = grid.submit_job(third, range(tasks), reduce=reduce, **options)
    assert job.result(100) == by_definition(tasks)
    assert not list(job.failures())
    assert lines_of(grid, job) == {"single": tasks}
    assert all(task.attempts == 1 for task in grid.control.tasks(job.id, ((0, tasks),)))


def test_a_merge_without_end_can_be_cancelled(grid: Grid) -> None:
    """And its worker goes on with others."""
    job = grid.submit_job(third, range(1000), reduce=total_without_end)
    eventually(lambda: job.progress().ended > 20)
    job.cancel()
    assert job.wait(30)
    assert list(grid.submit_job(same, range(4)).results()) == [0, 1, 2, 3]


def test_a_job_is_taken_up_again_with_its_reduction(grid: Grid) -> None:
    """By its number alone, functions and all."""
    number = grid.submit_job(third, range(1000), reduce=total).number
    assert grid.job(number).result(60) == by_definition(1000)
    assert grid.job(number, function=third).view().reduce == "client_tasks:total"


def test_a_task_that_failed_is_told_and_can_be_brought_back(grid: Grid, tmp_path: Path) -> None:
    """Its neighbours are in what there is so far; after a retry the result is that of an undisturbed job."""
    for marked in (70, 71, 900):
        (tmp_path / str(marked)).touch()
    job = grid.submit_job(third_unless_marked, [(x, tmp_path) for x in range(1000)], star=True, reduce=total)
    assert job.wait(60)
    assert [index for index, _ in job.failures()] == [70, 71, 900]
    for _ in range(4):  # three are told as they are read; from then on it is the first one at each end
        with pytest.raises(ValueError, match="is marked"):
            job.result(60)
    assert job.partial() == pytest.approx(sum(x / 3 for x in range(1000) if x not in {70, 71, 900}))
    for marked in tmp_path.iterdir():
        marked.unlink()
    assert job.retry() == 3
    assert job.result(60) == by_definition(1000)
    assert grid.job(job.number).result(60) == by_definition(1000), "who reads it all now sees the old failures first"


def test_an_export_says_of_each_task_where_its_value_went(grid: Grid, tmp_path: Path) -> None:
    """Read by nothing of ours, it comes to the same."""
    job = grid.submit_job(same, range(5000), reduce="merge")
    assert job.wait(60)
    backup = tmp_path / "kept.db"
    grid.control.backup(str(backup))
    assert verify(backup).sound
    lines = [json.loads(line) for line in export(backup)]
    tasks = [line for line in lines if line["kind"] == "task" and line["job"] == job.number]
    merged = {task["index"]: task for task in tasks if "merged" in task}
    into = Counter(task["merged_into"] for task in tasks if "merged_into" in task)
    assert merged
    assert into == dict.fromkeys(merged, 63)
    assert sum(task.get("merged", task.get("value", 0)) for task in tasks) == sum(range(5000))


def test_an_error_is_told_as_soon_as_it_is_known(grid: Grid, tmp_path: Path) -> None:
    """Long before the job's end, also if somebody looked at what there is before."""
    stop = tmp_path / "stop"
    job = grid.submit_job(waits_unless, [(None, "bad"), (str(stop), "good")], star=True, reduce="merge")
    eventually(lambda: job.progress().ended == 1)
    assert job.partial() is None
    with pytest.raises(ValueError, match="bad"):
        job.result(20)
    assert not job.progress().complete
    stop.touch()
    assert job.wait(20)


def test_a_key_with_another_reduction_is_refused(grid: Grid) -> None:
    """What its workers have merged would be put together otherwise."""
    grid.submit_job(third, range(100), key="thirds", reduce=total)
    assert grid.submit_job(third, range(100), key="thirds", reduce=total).result(30) == by_definition(100)
    with pytest.raises(ChunkRefused, match="merges its values otherwise"):
        grid.submit_job(third, range(100), key="thirds")


def test_partial_follows_and_ends(grid: Grid) -> None:
    """It shows what is there, and never waits; two threads' worth of asking is one reading."""
    job = grid.submit_job(same, range(TASKS), reduce="merge")
    seen: list[int] = []

    def grew_to_all() -> bool:
        seen.append(job.partial() or 0)
        return seen[-1] == sum(range(TASKS))

    eventually(grew_to_all)
    assert job.wait(10)
    assert job.result(10) == seen[-1]


def test_an_empty_job_comes_to_nothing(grid: Grid) -> None:
    """Not to zero, of which nothing is known."""
    assert grid.submit_job(third, [], reduce=total).result(10) is None


def test_results_of_a_merged_job_are_refused_by_name(grid: Grid) -> None:
    """And so is the one result of a job without a reduction."""
    merged, plain = grid.submit_job(same, range(10), reduce="merge"), grid.submit_job(same, range(10))
    with pytest.raises(UsageError, match="merges its values"):
        merged.results()
    with pytest.raises(UsageError, match="merges its values"):
        merged.as_completed()
    with pytest.raises(UsageError, match="no reduction"):
        plain.result()


@pytest.mark.parametrize(
    ("reduce", "error"), [(lambda parts: parts[0], FunctionRefused), ("add", UsageError), (":add", UsageError)]
)
def test_a_reduction_that_no_worker_could_find_is_refused(grid: Grid, reduce: Any, error: type[Exception]) -> None:
    """Before anything is sent."""
    before = len(grid.jobs())
    with pytest.raises(error):
        grid.submit_job(same, [1], reduce=reduce)
    assert len(grid.jobs()) == before


def test_result_gives_up_in_time(grid: Grid) -> None:
    """And can be asked again."""
    job = grid.submit_job(waits_for, ["/nowhere/at/all"], reduce="merge")
    with pytest.raises(TimeoutError):
        job.result(0.2)
    job.cancel()
    with pytest.raises(CancelledError):
        job.result(30)
