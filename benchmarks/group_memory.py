"""The master's memory: what it takes as it is, per queued task, and per delayed task.

The first million tasks fill the payload cache, so the growth over the next tells what a queued task
costs. Tasks are delayed by failing with a backoff: the master keeps a past for each. The first half
fills what any number of tasks does (checkpoints, SQLite's cache), so the second half is what counts;
there must be enough of it to stand out from pages that the allocator keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from figures import Figure, at_most
from processes import resident
from programs import private_grid
from wire import Host, Submitter, work_off

_MILLION = 1_000_000
_PAYLOAD = b'["%s"]' % (b"x" * 70)
_SMALL_TASKS = 20_000
_SPARE_TASKS = 50_000
"""Bundles are whole: more may be worked off than was asked for."""


def measure(*, full: bool) -> Iterator[Figure]:
    """Yield bytes."""
    yield from _queued(10 * _MILLION if full else _MILLION)
    yield _delayed(_MILLION if full else 200_000)


def _queued(count: int) -> Iterator[Figure]:
    with private_grid() as programs, programs.manager() as manager:
        master = programs.start_master()
        Submitter(manager).submit(1)
        started = resident(master.pid)
        client = Submitter(manager, payload=_PAYLOAD)
        client.submit(_MILLION)
        filled = resident(master.pid)
        client.submit(count)
        full = resident(master.pid)
    each = (full - filled) / count
    fixed = (full - each * (_MILLION + count)) / 1e6
    yield Figure("memory", "master, just started", "MB", (started / 1e6,))
    yield Figure("memory", "master, payload cache full, tasks taken off", "MB", (fixed,), at_most(100))
    yield Figure("memory", f"per queued task, {count + _MILLION:,} queued", "bytes", (each,), at_most(4))


def _delayed(count: int) -> Figure:
    hour = timedelta(hours=1)
    with private_grid() as programs, programs.manager() as manager:
        master = programs.start_master()
        host = Host(manager)
        host.enlist()
        client = Submitter(manager, max_attempts=2, backoff={"first": hour, "most": hour})
        client.submit(count + _SMALL_TASKS + _SPARE_TASKS)
        work_off(host, _SMALL_TASKS, end=host.succeed)
        before = resident(master.pid)
        work_off(host, count // 2, end=host.fail)
        half = resident(master.pid)
        work_off(host, count // 2, end=host.fail)
        each = (resident(master.pid) - half) / (count // 2)
    remark = f"{(half - before) / (count // 2):,.0f} over the first {count // 2:,}"
    return Figure("memory", f"per delayed task, {count:,} delayed", "bytes", (each,), at_most(24), remark)
