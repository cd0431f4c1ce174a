"""More than a master can serve, from several clients at once: it refuses what is too much, and recovers."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest
from conftest import Record
from proof_grid import HERE, hire, launch, traced
from proof_tasks import poison
from real_programs import Programs
from scale import in_full_only, scaled

from taskgrid import Grid
from taskgrid.transport.protocol import Selector

SECONDS = scaled(0, 15, 300)
CLIENTS = 4
MOST_QUEUED = 1_000_000
MOST_MEMORY = 256 << 20
"""Bytes; 100 MB and a few bytes for each task, with room for what is in flight."""


@in_full_only
@pytest.mark.timeout(SECONDS + 240)
def test_a_flood_of_submissions_stays_within_bounds_and_passes(programs: Programs, record_property: Record) -> None:
    """The master's memory is bounded, what is too much is refused, honest calls are answered, and soon as before."""
    master = traced(programs).start_master(f"--max-queued={MOST_QUEUED}")
    hire(programs)
    words = [HERE / "flood.py", programs.server, programs.key_file, SECONDS]
    with programs.grid() as grid:
        clients = [launch(programs, "flood", words) for _ in range(CLIENTS)]
        most, calls = 0, []
        while any(client.poll() is None for client in clients):
            begun_at = time.monotonic()
            grid.control.status()
            calls.append(time.monotonic() - begun_at)
            most = max(most, resident(master.pid))
            time.sleep(0.1)
        assert [client.wait() for client in clients] == [0] * CLIENTS, programs.said()
        accepted, refused = flooded(programs)
        seconds = recovered_after(grid)
    record_property("tasks", accepted)
    record_property("recovery", seconds)
    print(f"\n{accepted:,} tasks accepted, {refused:,} submissions refused, {most >> 20} MiB at most,", end=" ")
    print(f"status in {statistics.median(calls):.3f} s at the median, {max(calls):.3f} s at worst")
    assert most < MOST_MEMORY
    assert refused, "it was no flood"
    assert max(calls) < 15.0
    assert programs.end(master) == 0


def recovered_after(grid: Grid) -> float:
    """Cancel what is queued; return the seconds until a job runs again."""
    begun_at = time.monotonic()
    grid.control.cancel(Selector(all=True))
    assert list(grid.submit_job(poison, ["after"]).results()) == [1]
    return time.monotonic() - begun_at


def flooded(programs: Programs) -> tuple[int, int]:
    """Return how many tasks the flood's clients had accepted, and how many submissions refused."""
    told = [log.read_text().splitlines()[-1].split() for log in programs.folder.glob("*-flood.log")]
    return sum(int(accepted) for accepted, _ in told), sum(int(refused) for _, refused in told)


def resident(pid: int) -> int:
    """Return a process's resident memory, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
