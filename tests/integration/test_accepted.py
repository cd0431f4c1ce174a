"""Accepted means kept: what a submission answered is there, whatever happens right after."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from real_programs import Programs

from taskgrid import Grid

ITEMS = 4_500  # more than two chunks


def by_call(grid: Grid, programs: Programs) -> int:
    """Submit as a script does, and return the job's number."""
    del programs
    return grid.submit_job("mylogs:count", range(ITEMS)).number


def by_command(grid: Grid, programs: Programs) -> int:
    """Submit as a person does, and return the job's number."""
    del grid
    words = ["submit", "mylogs:count", "-", "--jsonl", "--server", programs.server, "--key-file", programs.key_file]
    done = subprocess.run(
        [*programs.python, "-m", "taskgrid", *map(str, words)],
        input="".join(f"[{item}]\n" for item in range(ITEMS)),
        capture_output=True,
        text=True,
        check=True,
        env=programs.variables(),
        timeout=60,
    )
    return int(done.stdout)


@pytest.mark.parametrize("submit", [by_call, by_command])
def test_what_a_submission_answered_survives_a_master_killed_at_once(
    programs: Programs, submit: Callable[[Grid, Programs], int]
) -> None:
    """All items are in the journal when the call returns, the last one and the seal included."""
    master = programs.start_master()
    with programs.grid() as grid:
        number = submit(grid, programs)
        programs.kill(master)
        programs.start_master()
        job = grid.job(number)
        assert (job.view().total, job.view().sealed) == (ITEMS, True)
        assert list(job.payloads((0, ITEMS))) == [b"[%d]" % item for item in range(ITEMS)]
