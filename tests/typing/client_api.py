"""User code that the type checker must accept: a Grid keeps the types of what it runs."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Executor, Future
from typing import Any, assert_type

from taskgrid import Grid, Job, task
from taskgrid.files import FileSlice, Output
from taskgrid.files.run import Run


@task
def length(text: str, *, least: int = 0) -> int:
    """Return a text's length."""
    return max(len(text), least)


def lines(piece: FileSlice, out: Output) -> int:
    """Copy a file's lines; return how many there were."""
    with out.open("w") as file:
        return sum(file.write(line) > 0 for line in piece.text())


async def fetch(place: str) -> bytes:
    """Fetch something."""
    return place.encode()


def use(grid: Grid, texts: Iterator[str]) -> None:
    """Use everything once."""
    executor: Executor = grid
    future: Future[int] = grid.submit(length, "a", least=3)
    assert_type(grid.submit(length, "a").result(), int)
    assert_type(grid.submit(fetch, "a").result(), bytes)
    assert_type(grid.submit("mylogs:count", "a").result(), Any)
    assert_type(grid.map(length, texts), Generator[int, None, None])
    assert_type(grid.map(length, texts, timeout=3, priority=5), Generator[int, None, None])
    assert_type(grid.submit_job(length, [("a", 1)], star=True, key="k", name="n", priority=3), Job)
    assert_type(grid.submit_job(length, texts, reduce=sum), Job)
    assert_type(grid.submit_job(length, texts, reduce="merge").result(timeout=3), Any)
    assert_type(grid.job(17), Job)
    run = grid.files(lines, ["logs"], split="1MiB", reduce="merge", max_attempts=2)
    assert_type(run, Run)
    for result in run:
        print(result.path, result.value, result.error)
    executor.shutdown(wait=True, cancel_futures=future.cancelled())


def read(job: Job) -> None:
    """Read everything once."""
    for index, value in job.as_completed(failures="yield"):
        print(index, value)
    for index, error in job.failures():
        print(index, repr(error))
    if job.wait(timeout=3):
        print(list(job.results()), job.progress().share)
