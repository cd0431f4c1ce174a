"""More than a master can serve, from several clients at once: it refuses what is too much, and recovers."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Record
from proof_grid import HERE, hire, launch, traced
from proof_tasks import poison
from real_programs import Programs
from scale import in_full_only, scaled

from taskgrid import Grid
from taskgrid.transport.protocol import Selector

SECONDS = scaled(0, 15, 25)
"""Not much longer: then it meets the limit of jobs, which is another one."""
CLIENTS = 4
MOST_QUEUED = 1_000_000
MOST_MEMORY = 256 << 20
"""Bytes; 100 MB and a few bytes for each task, with room for what is in flight."""


TOO_MUCH = 10
"""Times what can be served: what is asked for meanwhile."""
RECOVERED_WITHIN = 1.0
"""Seconds from the flood's end until calls take again what they took before it."""
AT_ONCE = 0.02
"""Seconds that a call may take at any time: the least that a machine with neighbours tells apart."""
IN_A_ROW = 10
WATCHED_AFTER = 3.0


class Call(NamedTuple):
    """An honest call: when it began, and the seconds it took."""

    begun_at: float
    took: float


class Flood(NamedTuple):
    """What its clients told: tasks, and when the last of them ended."""

    accepted: int
    refused: int
    ended_at: float


@in_full_only
@pytest.mark.timeout(SECONDS + 240)
def test_a_flood_of_submissions_stays_within_bounds_and_passes(programs: Programs, record_property: Record) -> None:
    """The master's memory is bounded, what is too much is refused, honest calls are answered, and soon as before."""
    master = traced(programs).start_master(f"--max-queued={MOST_QUEUED}")
    hire(programs)
    words = [HERE / "flood.py", programs.server, programs.key_file, SECONDS]
    with programs.grid() as grid:
        usual = max(AT_ONCE, *(call(grid).took for _ in range(50)))
        clients = [launch(programs, "flood", words) for _ in range(CLIENTS)]
        most, calls = 0, [call(grid)]
        while any(client.poll() is None for client in clients):
            calls.append(call(grid))
            most = max(most, resident(master.pid))
            time.sleep(0.05)
        assert [client.wait() for client in clients] == [0] * CLIENTS, programs.said()
        flood, left = flooded(programs), grid.control.status()
        while calls[-1].begun_at < flood.ended_at + WATCHED_AFTER:
            calls.append(call(grid))
        runs_after = runs_again(grid)
    served = flood.accepted - left.queued - left.leased - left.delayed
    recovery = recovered_after(flood.ended_at, calls, usual)
    record_property("tasks", flood.accepted)
    record_property("recovery", recovery)
    print(f"\n{flood.accepted:,} accepted, {flood.refused:,} refused, {served:,} served, {most >> 20} MiB at most;")
    meanwhile = [each.took for each in calls if each.begun_at < flood.ended_at]
    print(f"a call took {usual:.3f} s before, {statistics.median(meanwhile):.3f} s at the median meanwhile")
    print(f"and {max(meanwhile):.3f} s at worst; as before {recovery:.3f} s later; a job ran in {runs_after:.3f} s")
    assert most < MOST_MEMORY
    assert flood.refused, "it was no flood"
    assert flood.accepted + flood.refused > TOO_MUCH * served
    assert max(meanwhile) < 15.0
    assert recovery < RECOVERED_WITHIN
    assert programs.end(master) == 0


def call(grid: Grid) -> Call:
    """Ask for the whole grid's status."""
    begun_at = time.monotonic()
    grid.control.status()
    return Call(begun_at, time.monotonic() - begun_at)


def recovered_after(ended_at: float, calls: list[Call], usual: float) -> float:
    """Return the seconds from the flood's end until calls in a row took, at the median, what is usual."""
    after = [each for each in calls if each.begun_at >= ended_at]
    for first in range(len(after) - IN_A_ROW):
        if statistics.median(each.took for each in after[first : first + IN_A_ROW]) <= usual:
            return after[first].begun_at - ended_at
    return WATCHED_AFTER


def runs_again(grid: Grid) -> float:
    """Cancel what is queued; return the seconds until a job runs again."""
    begun_at = time.monotonic()
    grid.control.cancel(Selector(all=True))
    assert list(grid.submit_job(poison, ["after"]).results()) == [1]
    return time.monotonic() - begun_at


def flooded(programs: Programs) -> Flood:
    """Return what the flood's clients had accepted and refused in all, and when the last of them was done."""
    told = [log.read_text().splitlines()[-1].split() for log in programs.folder.glob("*-flood.log")]
    accepted, refused, ended_at = zip(*told, strict=True)
    return Flood(sum(map(int, accepted)), sum(map(int, refused)), max(map(float, ended_at)))


def resident(pid: int) -> int:
    """Return a process's resident memory, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
