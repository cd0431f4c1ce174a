"""Work as people do it: run, find a mistake, edit a file in the shared folder, run again. Nobody touches the worker.

Each run of the client is a process of its own, as a person would start it. The edited file is not the
task's module but one that it imports.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from real_programs import Programs

from taskgrid.lifecycle import TaskState

TASKS = """
from rates import factor

def priced(amount: int) -> int:
    return amount * factor(amount)
"""
MAP = """
from taskgrid import Grid
from prices import priced
with Grid({server!r}, key_file={key!r}) as grid:
    print(list(grid.map(priced, range(5))))
"""
SUBMIT = """
from taskgrid import Grid
from prices import priced
with Grid({server!r}, key_file={key!r}) as grid:
    job = grid.submit_job(priced, range(5))
    job.wait(30)
    print(job.number)
"""


MEND = """
from pathlib import Path
from taskgrid import Grid
from prices import priced
with Grid.local(workers=1) as grid:
    job = grid.submit_job(priced, range(5))
    (failed, _), = job.failures()
    Path("rates.py").write_text("def factor(amount): return 7")
    job.retry()
    print([failed, list(job.results())[failed]])
"""


class Shared:
    """A folder that client and worker see, and a worker that offers its module."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self.folder = programs.folder / "shared"
        self.folder.mkdir()
        self._edits = 0
        (self.folder / "prices.py").write_text(TASKS)

    def write(self, body: str) -> None:
        """Edit the module that the task's module imports."""
        self._edits += 1
        # Python tells an edit by size and whole seconds: two in one second must not have the same size.
        (self.folder / "rates.py").write_text(f"def factor(amount):\n    {body}\n" + "\n" * self._edits)

    def run(self, script: str) -> Any:
        """Run a client in the folder and return what it printed."""
        code = script.format(server=self.programs.server, key=str(self.programs.key_file))
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env=self.programs.variables(),
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def shared(programs: Programs) -> Shared:
    """Give the folder, with a first version of the code, and a master."""
    shared = Shared(programs)
    shared.write("return 2")
    programs.start_master("--beat=500ms")
    return shared


def test_an_edited_import_is_what_the_next_run_uses(shared: Shared) -> None:
    """The worker finds out by itself, and goes on in new processes: again and again."""
    worker = shared.programs.start_worker(functions="prices", path=shared.folder)
    assert shared.run(MAP) == [0, 2, 4, 6, 8]
    shared.write("return 3")
    assert shared.run(MAP) == [0, 3, 6, 9, 12]
    shared.write("return 10")
    assert shared.run(MAP) == [0, 10, 20, 30, 40]
    assert worker.poll() is None


def test_a_job_that_failed_is_retried_with_the_mended_code(shared: Shared) -> None:
    """`retry` after the edit runs the files as they are now, not as the worker once read them."""
    shared.write("return 1 // (amount - 3)")
    worker = shared.programs.start_worker(functions="prices", path=shared.folder)
    number = shared.run(SUBMIT)
    with shared.programs.grid() as grid:
        job = grid.job(number)
        assert job.view().counts == {TaskState.SUCCEEDED: 4, TaskState.FAILED: 1}
        ((index, error),) = job.failures()
        assert (index, type(error)) == (3, ZeroDivisionError)
        shared.write("return 7")
        assert job.retry() == 1
        assert job.wait(40)
        assert job.view().counts == {TaskState.SUCCEEDED: 5}, list(job.failures())
        assert list(job.results())[3] == 21
    assert worker.poll() is None


def test_a_module_that_can_not_be_imported_now_is_used_again_once_it_can(shared: Shared) -> None:
    """An edit with a slip in it does not end the worker; the mended file is found."""
    worker = shared.programs.start_worker(functions="prices", path=shared.folder)
    assert shared.run(MAP) == [0, 2, 4, 6, 8]
    (shared.folder / "rates.py").write_text("def factor(amount:\n    return 5\n")
    with shared.programs.grid() as grid:
        broken = grid.submit_job("prices:priced", range(5))
        assert broken.wait(40)
    shared.write("return 5")
    assert shared.run(MAP) == [0, 5, 10, 15, 20]
    assert worker.poll() is None


def test_a_private_grid_retries_with_the_mended_code_too(shared: Shared) -> None:
    """Where any function may run, processes compare the code; a retried job means what is there now."""
    shared.write("return 1 // (amount - 3)")
    assert shared.run(MEND) == [3, 21]
