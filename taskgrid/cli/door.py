"""The way from a command to its master: settings, the known masters, one connection, typed calls.

Also where words of the command line that only a master can resolve become jobs: ranges of numbers,
and whose `last` and `all` are. Renders nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskgrid.cli.selectors import Named, to_selector
from taskgrid.errors import UnknownJob
from taskgrid.loading import grid_settings
from taskgrid.settings import GridSettings

if TYPE_CHECKING:
    from taskgrid.cli.options import At
    from taskgrid.client.control import Control
    from taskgrid.client.link import Link
    from taskgrid.model import JobView
    from taskgrid.transport.protocol import Selector

_MOST_JOBS = 10_000


def settings(at: At) -> GridSettings:
    """Return the client's settings."""
    return grid_settings({"server": at.servers, "key_file": at.key_file})


@contextmanager
def control(at: At) -> Iterator[Control]:
    """Open a connection for control calls and close it at the end.

    Raises `MasterUnreachable`, `NotLetIn` or `VersionMismatch` when that fails at once.
    """
    from taskgrid.client.control import Control
    from taskgrid.transport.known import find_master
    from taskgrid.transport.manager import GridManager

    chosen = settings(at)
    door = find_master(chosen.server, chosen.key_file)
    opened = GridManager(
        door.servers,
        door.key,
        connect_timeout=chosen.connect_timeout.total_seconds(),
        reconnect_for=chosen.connect_timeout.total_seconds(),  # a question is asked again, not waited for
    )
    try:
        opened.connect()
        yield Control(opened.get_control())
    finally:
        opened.close()


@contextmanager
def link(at: At) -> Iterator[tuple[Link, GridSettings]]:
    """Open connections for work: to submit, to fetch, and to watch beside it."""
    from taskgrid.client.link import Link

    chosen = settings(at)
    opened = Link(chosen)
    try:
        opened.connect()
        yield opened, chosen
    finally:
        opened.close()


def selected(grid: Control, named: Sequence[Named], *, everyone: bool = False) -> tuple[Selector, ...]:
    """Return the protocol's selectors; a range of jobs becomes those of its jobs that exist."""
    owner = own() if not everyone and any(one.word for one in named) else None
    selectors: list[Selector] = []
    for one in named:
        ranges = one.last > one.first
        selectors += _range(grid, one) if ranges else [to_selector(one, owner=owner)]
    return tuple(selectors)


def one_job(grid: Control, named: Named, *, everyone: bool = False) -> JobView:
    """Return the job that a selector stands for. Raises `UnknownJob`."""
    return grid.job(selected(grid, [named._replace(runs=())], everyone=everyone)[0])


def own() -> str:
    """Return who the caller is, as clients sign their jobs."""
    from taskgrid.client.owner import owner

    return owner()


def _range(grid: Control, named: Named) -> list[Selector]:
    jobs = grid.jobs(limit=_MOST_JOBS)
    numbers = sorted(job.number for job in jobs if named.first <= job.number <= named.last)
    if not numbers:
        raise UnknownJob(f"no job from {named.first} to {named.last}", hint="`taskgrid jobs --everyone` lists all")
    return [to_selector(Named(number, number), owner=None) for number in numbers]
