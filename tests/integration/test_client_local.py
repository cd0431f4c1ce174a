"""`Grid.local`: a private master and workers, and their end."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import client_tasks
import pytest
from client_world import eventually
from real_programs import processes

from taskgrid import Grid
from taskgrid.errors import FunctionRefused, TaskGridError, TimeLimitExceeded

MARK = "OWNER_OF_TEST"
SCRIPT = Path(__file__).parent / "client_script.py"


def gone(pids: list[int]) -> bool:
    """Say whether none of these processes runs."""
    return not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # it may end while it is looked at
        return False


@pytest.fixture
def script() -> Iterator[subprocess.Popen[str]]:
    """Start the script, to be told to end, or killed."""
    words = [sys.executable, str(SCRIPT), "stay"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        yield program
        program.kill()


def test_it_runs_whatever_this_user_can_import() -> None:
    """No list of functions is needed on one's own machine."""
    with Grid.local(workers=1) as grid:
        assert grid.submit(client_tasks.add, 1, b=2).result(20) == 3
        assert grid.submit("client_tasks:same", 4).result(20) == 4
        folder = grid._cluster._parts.folder
        pids = list(grid._cluster.pids)
    assert not folder.exists()
    assert gone(pids)


def test_what_a_function_declares_holds_where_anything_may_run(tmp_path: Path) -> None:
    """Also for its first task, and though it was submitted by name; what the job says goes before."""
    with Grid.local(workers=1) as grid:
        assert grid.submit("client_tasks:succeeds_at_third", str(tmp_path / "attempts")).result(40) == 3
        assert isinstance(grid.submit("client_tasks:hangs", 1).exception(40), TimeLimitExceeded)
        job = grid.submit_job("client_tasks:hangs", [1], time_limit=0.9)
        ((_, error),) = job.failures()
        assert "0.9 s" in str(error)
        assert isinstance(grid.submit("client_tasks:nothing", 1).exception(40), ImportError)


def test_functions_of_the_started_script_run_and_everything_ends_with_it(script: subprocess.Popen[str]) -> None:
    """A script needs no module beside it, and leaves nothing behind."""
    assert script.stdout is not None
    assert script.stdin is not None
    assert script.stdout.readline().split() == ["0", "1", "4", "9", "25"]
    pids = [int(word) for word in script.stdout.readline().split()]
    script.stdin.close()
    assert script.wait(40) == 0
    assert gone(pids)


def test_a_killed_owner_takes_its_programs_along(script: subprocess.Popen[str]) -> None:
    """Nothing of a private grid outlives `kill -9`."""
    assert script.stdout is not None
    script.stdout.readline()
    pids = [int(word) for word in script.stdout.readline().split()]
    assert not gone(pids)
    script.kill()
    eventually(lambda: gone(pids))


@pytest.mark.parametrize("started", [1, 2])
def test_an_owner_killed_while_it_starts_takes_its_programs_along(started: int) -> None:
    """Also those that had no time yet to ask the kernel for it."""
    mark = secrets.token_hex(8)
    words = [sys.executable, str(SCRIPT), "stay"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {MARK: mark}) as owner:
        eventually(lambda: len(processes(MARK, mark)) > started)
        owner.kill()
    try:
        eventually(lambda: not processes(MARK, mark))
    finally:
        for pid in processes(MARK, mark):
            os.kill(pid, signal.SIGKILL)


def test_a_grid_that_is_never_shut_down_ends_with_the_interpreter() -> None:
    """Forgetting `with` costs nothing in the end."""
    words = [sys.executable, str(SCRIPT), "leave"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=50, check=True)
    pids = [int(word) for word in done.stdout.splitlines()[-1].split()]
    assert gone(pids)


def test_it_outlives_the_thread_that_started_it() -> None:
    """The programs end with their owner, not with one of its threads."""
    started: list[Grid] = []
    thread = threading.Thread(target=lambda: started.append(Grid.local(workers=1, functions=["client_tasks"])))
    thread.start()
    thread.join()
    with started[0] as grid:
        assert grid.submit(client_tasks.same, 1).result(20) == 1


def test_a_function_typed_at_a_prompt_is_refused_with_what_to_do() -> None:
    """Where no worker can find it, nothing is sent."""
    words = [sys.executable, "-i", "-q"]
    typed = "from taskgrid.client.callee import callee_of\ndef f(x): return x\n\ncallee_of(f, 1000)\n"
    done = subprocess.run(words, input=typed, capture_output=True, text=True, timeout=50, check=False)
    assert FunctionRefused.__name__ in done.stderr
    assert "beside the notebook" in done.stderr


def test_a_master_that_does_not_start_says_why() -> None:
    """Its own words are in the error."""
    with pytest.raises(TaskGridError, match="durability"):
        Grid.local(durability="nonsense")
