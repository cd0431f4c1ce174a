"""The textbook's grid: a bare `BaseManager`, a queue of tasks, a queue of results, two worker processes.

    python bare_manager.py TASKS CALLS

Nothing is kept: a task that a worker took is gone with it, and everything with the manager.
"""

from __future__ import annotations

import multiprocessing
import queue
import sys
from multiprocessing.managers import BaseManager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import stopwatch  # the folder above is put on the path first

_KEY = b"textbook"
_QUEUES = {name: queue.Queue() for name in ("tasks", "results")}  # type: ignore[var-annotated]  # of anything


def _tasks() -> queue.Queue[int | None]:
    return _QUEUES["tasks"]


def _results() -> queue.Queue[int]:
    return _QUEUES["results"]


class QueueManager(BaseManager):
    """The textbook's class."""


QueueManager.register("get_task_queue", callable=_tasks)
QueueManager.register("get_result_queue", callable=_results)


def work(address: tuple[str, int]) -> None:
    """Take, run, put."""
    manager = QueueManager(address=address, authkey=_KEY)
    manager.connect()
    tasks, results = manager.get_task_queue(), manager.get_result_queue()  # type: ignore[attr-defined]  # registered
    while (task := tasks.get()) is not None:
        results.put(task)


def main(tasks: int, calls: int) -> None:
    """Measure and tell."""
    with QueueManager(address=("127.0.0.1", 0), authkey=_KEY) as manager:
        workers = [multiprocessing.Process(target=work, args=(manager.address,), daemon=True) for _ in range(2)]
        for worker in workers:
            worker.start()
        todo, done = manager.get_task_queue(), manager.get_result_queue()  # type: ignore[attr-defined]  # registered
        trip = stopwatch.trips(calls, lambda index: (todo.put(index), done.get()))
        stopwatch.tell(**trip, rate=stopwatch.rate(tasks, lambda: _run(todo, done, tasks)))
        todo.put(None)
        todo.put(None)
        for worker in workers:
            worker.join()


def _run(todo: queue.Queue[int | None], done: queue.Queue[int], tasks: int) -> int:
    for index in range(tasks):
        todo.put(index)
    return sum(done.get() for _ in range(tasks))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
