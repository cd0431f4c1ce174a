"""A journal is put back to an older backup under workers and clients that go on.

What the lost history handed out (tokens, numbers of jobs, cursors) meets a master that knows nothing
of it, under the same numbers.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_tasks import gated
from proof_grid import LEASE
from real_programs import Programs, eventually

from taskgrid.errors import UnknownJob
from taskgrid.journal import verify

TASKS = 40
PER_GATE = 10
HERE = Path(__file__).parent


class Gates:
    """The files that tasks wait for, and those they leave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def item(self, gate: str, value: int) -> tuple[str, str, int]:
        """Return the arguments of one task."""
        return str(self.folder), gate, value

    def open(self, gate: str) -> None:
        """Let tasks end."""
        (self.folder / gate).touch()

    def begun(self, value: int) -> bool:
        """Say whether a task began."""
        return (self.folder / f"begun-{value}").exists()


class Reader:
    """Reads a job as it completes, in a thread of its own."""

    def __init__(self, outcomes: Iterator[tuple[int, int]]) -> None:
        self.got: list[tuple[int, int]] = []
        self.thread = threading.Thread(target=self._read, args=(outcomes,), daemon=True)
        self.thread.start()

    def _read(self, outcomes: Iterator[tuple[int, int]]) -> None:
        for outcome in outcomes:
            self.got.append(outcome)


def back_up(programs: Programs, target: str) -> None:
    """Have the running master copy its journal."""
    command = [sys.executable, "-m", "taskgrid", "journal", "backup", target]
    where = [f"--server={programs.server}", f"--key-file={programs.key_file}"]
    done = subprocess.run(
        [*command, *where], env=programs.variables(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def put_back(programs: Programs, copy: Path) -> None:
    """Do what the page about the journal says."""
    for file in programs.folder.glob("journal.db*"):
        file.rename(file.with_name(f"lost-{file.name}"))
    copy.rename(programs.journal)


@pytest.mark.timeout(120)
def test_a_journal_from_a_backup_goes_on_under_workers_and_clients_of_a_later_history(programs: Programs) -> None:
    """Each task's outcome reaches the client once, a job of after the backup is unknown, and numbers don't mix."""
    gates = Gates(programs.folder / "gates")
    master = programs.start_master(*LEASE)
    workers = [programs.start_worker(functions="journal_tasks", path=HERE, slots=1) for _ in range(2)]
    with programs.grid() as grid:
        job = grid.submit_job(gated, [gates.item(f"gate-{at // PER_GATE}", at) for at in range(TASKS)], star=True)
        reader = Reader(job.as_completed())
        gates.open("gate-0")
        eventually(lambda: len(reader.got) >= PER_GATE // 2, what="the first outcomes")
        back_up(programs, "monday.db")
        late = grid.submit_job(gated, [gates.item("late", 1000)], star=True)
        gates.open("gate-1")
        eventually(lambda: len(reader.got) > PER_GATE, what="outcomes that the backup has not")
        shut = range(2 * PER_GATE, TASKS)  # whichever of these is first: what waits behind another is given back
        eventually(lambda: any(map(gates.begun, shut)), what="a task runs under a lease that the backup has not")

        programs.kill(master)
        put_back(programs, programs.folder / "monday.db")
        master = programs.start_master(*LEASE)
        with pytest.raises(UnknownJob):
            late.view()
        again = grid.submit_job(gated, [gates.item("gate-3", 2000 + at) for at in range(2)], star=True)
        assert again.number == late.number, "the number is given a second time"
        for gate in ("gate-2", "late", "gate-3"):
            gates.open(gate)
        reader.thread.join(60)
        assert sorted(reader.got) == [(at, at) for at in range(TASKS)]
        assert list(job.results()) == list(range(TASKS))
        assert list(again.results()) == [2000, 2001]
    assert [programs.end(worker) for worker in workers] == [0, 0]
    assert programs.end(master) == 0
    assert verify(programs.journal).findings == []
