"""`taskgrid up`: a grid in one command, from its start to its drain, and daemons that end when told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import WITHIN, Terminal, World, eventually, world

pytestmark = pytest.mark.timeout(400)  # each command is a process of its own, also on a busy machine


@pytest.fixture
def home(tmp_path: Path) -> Iterator[World]:
    """Give a user's home without a grid."""
    with world(tmp_path) as made:
        yield made


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


UP = ("up", "-w", "2", "--port=0", "--journal=memory", "--functions=mytasks")


def test_up_serves_other_terminals_until_ctrl_c_drains_it(home: World) -> None:
    """One command makes a grid; `map` elsewhere finds it; Ctrl-C lets what runs end, and leaves nothing behind."""
    up = Terminal(home, *UP)
    up.see("A grid of 2 workers serves")
    eventually(lambda: home.workers() == 2)
    assert home.run("map", "mytasks:shout", "a", "--values").stdout == '"A"\n'
    gate = home.home / "gate"
    waiting = home.start("map", "mytasks:wait_for", str(gate), "--values")
    eventually(lambda: '"running"' in home.run("explain", "last", "-o", "json").stdout)
    children = _children(up.process.pid)
    assert len(children) == 3
    up.type("\x03")
    up.see("draining")
    gate.touch()
    assert up.end() == 0
    assert waiting.wait(WITHIN) in {0, 3}
    eventually(lambda: not any(map(_alive, children)))


def test_a_killed_worker_is_replaced(home: World) -> None:
    """A worker's end is no end of the grid."""
    number = len(home.started)
    up = home.start(*UP)
    eventually(lambda: "A grid of 2" in home.talk_of(number).read_text())
    eventually(lambda: home.workers() == 2)
    master, *workers = _children(up.pid)
    assert master not in workers
    # One that ends within its first seconds would mean that no worker can run here.
    eventually(lambda: _age(workers[0]) > 5.5)
    os.kill(workers[0], signal.SIGKILL)
    eventually(lambda: "takes its place" in home.talk_of(number).read_text())
    eventually(lambda: home.workers() == 2)
    assert home.run("map", "mytasks:shout", "a", "--values").stdout == '"A"\n'


def _age(pid: int) -> float:
    started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return up - started / os.sysconf("SC_CLK_TCK")


def test_up_dies_with_everything_it_started(home: World) -> None:
    """`kill -9` of `up` leaves no process behind."""
    number = len(home.started)
    up = home.start(*UP)
    eventually(lambda: "A grid of 2" in home.talk_of(number).read_text())
    children = _children(up.pid)
    assert len(children) == 3
    up.kill()
    up.wait()
    eventually(lambda: not any(map(_alive, children)))


def test_functions_that_cannot_be_imported_end_up_at_once(home: World) -> None:
    """A wrong module is told at the start, not by a task that waits."""
    done = home.run("up", "-w", "1", "--port=0", "--journal=memory", "--functions=nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr


def test_functions_that_cannot_be_imported_end_up_however_late_it_is_noticed(home: World) -> None:
    """Where a start takes long, a worker that can't work is not replaced for ever by others that can't either."""
    late = "from taskgrid.cli import main, processes; processes._TOO_SOON = 0; main.main()"
    words = ["up", "-w", "1", "--port=0", "--journal=memory", "--functions=nonsense"]
    done = subprocess.run(
        [sys.executable, "-c", late, *words],
        capture_output=True,
        text=True,
        cwd=home.home,
        env=home.environment,
        timeout=WITHIN,
        check=False,
    )
    assert done.returncode == 2
    assert "takes its place" not in done.stderr


def test_up_offers_whatever_its_user_can_import(home: World) -> None:
    """Without `--functions` any function of this user's own module path runs."""
    number = len(home.started)
    home.start("up", "-w", "1", "--port=0", "--journal=memory")
    eventually(lambda: "A grid of 1 worker serves" in home.talk_of(number).read_text())
    done = home.run("map", "mytasks:shout", "a", "--values")
    assert done.stdout == '"A"\n', done.stdout + done.stderr


def test_a_master_tells_that_it_serves_and_ends_when_told(home: World) -> None:
    """The ready file names server, process and key; SIGTERM ends the master with status 0."""
    home.master()
    (master,) = home.started
    ready = json.loads((home.home / "ready-0.json").read_text())
    assert ready["pid"] == master.pid
    assert Path(ready["key_file"]).exists()
    assert home.run("health", "--server", ready["server"]).returncode == 0
    master.send_signal(signal.SIGTERM)
    assert master.wait(WITHIN) == 0
    assert home.run("health").returncode == 3


def test_a_signal_to_a_master_wakes_its_main_thread(home: World) -> None:
    """No other thread can get it: Python would run no handler there, and the master would go on for ever."""
    home.master()
    (master,) = home.started
    home.run("health")
    threads = {int(task.name): (task / "status").read_text() for task in Path(f"/proc/{master.pid}/task").iterdir()}
    masks = {pid: int(status.partition("SigBlk:")[2].split()[0], 16) for pid, status in threads.items()}
    ending = 1 << signal.SIGTERM - 1 | 1 << signal.SIGINT - 1
    assert not masks.pop(master.pid) & ending
    assert len(masks) > 3
    assert all(mask & ending == ending for mask in masks.values())


def test_a_map_outlives_its_masters_restart(home: World) -> None:
    """While the master is away the map waits and says so; when it is back, it ends as if nothing had been."""
    journal = f"--journal={home.home / 'journal.db'}"
    quick = ("--lease=3s", "--beat=1s")
    server = home.master(journal, *quick)
    gate = home.home / "gate"
    number = len(home.started)
    map_ = home.start("map", "mytasks:wait_for", str(gate), "--values")
    eventually(lambda: '"queued": 1' in home.run("jobs", "last", "-o", "json").stdout)
    home.started[0].kill()
    eventually(lambda: "unreachable since" in home.talk_of(number).read_text())
    home.master(journal, f"--port={server.rpartition(':')[2]}", *quick)
    home.worker()
    gate.touch()
    assert map_.wait(WITHIN) == 0
    assert map_.stdout is not None
    assert map_.stdout.read() == json.dumps(str(gate)) + "\n"
