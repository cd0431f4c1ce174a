"""A job that merges its values gives the same in every run: whoever dies while they are merged, and whoever merges.

Floats tell: a value that counts twice, is missing, or is merged with others than its indices say shows in the bits.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from proof_grid import LEASE, hire
from proof_tasks import slow_third, total
from real_programs import Programs, children_of, eventually
from scale import scaled, seeds

from taskgrid import Grid
from taskgrid.client.job import Job
from taskgrid.client.results import replies
from taskgrid.client.tree import Tree
from taskgrid.transport.protocol import Order

TASKS = scaled(12_000, 20_000, 40_000)
STRIKES = scaled(3, 8, 20)
BOUND = 120.0


@pytest.mark.timeout(BOUND * 2)
@pytest.mark.parametrize("seed", seeds(1, 5, 30))
def test_values_merged_while_anybody_dies_come_to_the_same_bits(programs: Programs, seed: int) -> None:
    """Each merge block is committed whole or task by task, once; who asks meanwhile sees only what there is."""
    chance = random.Random(seed)
    master = programs.start_master(*LEASE)
    workers = [hire(programs) for _ in range(2)]
    with programs.grid() as grid, ThreadPoolExecutor() as aside:
        job = grid.submit_job(slow_third, range(TASKS), reduce=total)
        result = aside.submit(job.result, BOUND)
        for strike in range(STRIKES):
            goal = TASKS * strike // STRIKES
            eventually(lambda goal=goal: _ended(grid, job) >= goal or result.done(), BOUND, f"{goal} tasks have ended")
            threading.Event().wait(chance.uniform(0, 0.2))
            match chance.choice(("worker", "worker", "task", "master")):
                case "worker":
                    _replace(programs, workers, chance.randrange(2), partial(hire, programs))
                case "task":
                    for pid in children_of(chance.choice(workers).pid):
                        os.kill(pid, 9)
                case "master":
                    programs.kill(master)
                    master = programs.start_master(*LEASE, wait=False)
        assert result.result(BOUND).hex() == _by_definition(TASKS)
        assert job.partial().hex() == _by_definition(TASKS)
        _check_blocks(grid, job)


def _ended(grid: Grid, job: Job) -> int:
    """Count what has ended, by a connection of its own."""
    return grid.job(job.number).progress().ended


def _replace(
    programs: Programs,
    workers: list[subprocess.Popen[bytes]],
    place: int,
    another: Callable[[], subprocess.Popen[bytes]],
) -> None:
    programs.kill(workers[place])
    workers[place] = another()


def _by_definition(tasks: int) -> str:
    tree = Tree[float](total)
    for index in range(tasks):
        tree.add(index, index / 3)
    return float(tree.partial() or 0.0).hex()


def _check_blocks(grid: Grid, job: Job) -> None:
    """Hold every outcome line against what its indices say: one line a task, and a block's are all of one kind."""
    lines: dict[int, bytes] = {}
    for reply, parts in replies(grid._link, job.id, Order.ARRIVAL):
        for row, part in zip(reply.rows, parts, strict=True):
            for index, line in enumerate(part.split(b"\n"), row.first):
                assert index not in lines, f"task {index} ended twice"
                lines[index] = line
    assert sorted(lines) == list(range(TASKS))
    merged = [index for index, line in lines.items() if line.startswith(b"+")]
    assert len(merged) > TASKS // 64 // 4, "hardly anything was merged: this shows nothing"
    for index in merged:
        assert index % 64 == 0
        assert float(lines[index][1:]) == total([each / 3 for each in range(index, index + 64)])
        assert not any(lines.pop(each) for each in range(index + 1, index + 64))
        del lines[index]
    assert all(float(line) == index / 3 for index, line in lines.items())
