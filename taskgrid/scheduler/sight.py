"""Which workers see the places that a job's tasks read: one that doesn't gets none of them.

A job may name folders. A worker is asked about those that waiting jobs name, looks, and says with its next
enlisting what it sees and why not; until then it gets none of their tasks. With each beat it is asked about
some of them again, seen or not: a disk that is mounted later is found, and one that is gone is missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from taskgrid.scheduler.state import Worker
from taskgrid.scheduler.waiting import Kind

_AT_ONCE: Final = 16
"""Places that a worker is asked about in one answer, whatever number of jobs name some."""


def sees(worker: Worker, kind: Kind) -> bool:
    """Say whether a worker sees all that jobs of a kind read; one too old to be asked is taken to."""
    return worker.places is None or all(worker.places.get(place) == "" for place in kind.places)


def places_to_look_at(worker: Worker, kinds: Iterable[Kind], *, again: bool = False) -> tuple[str, ...]:
    """Return places of waiting jobs that a worker is to look at, those it was asked about longest ago first.

    Without `again` only such as it was never asked about.
    """
    if worker.places is None:
        return ()
    wanted = dict.fromkeys(place for kind in kinds for place in kind.places)
    known = [place for place in worker.asked if place in wanted]
    news = [place for place in wanted if place not in worker.asked]
    chosen = [*news, *(known if again else ())][:_AT_ONCE]
    worker.asked = dict.fromkeys([*(place for place in known if place not in chosen), *chosen])
    return tuple(chosen)


def why_unseen(worker: Worker, kind: Kind) -> str:
    """Return which place of a kind's jobs a worker doesn't see, and why."""
    seen = worker.places or {}
    place = next(place for place in kind.places if seen.get(place) != "")
    return f"{worker.name} on {worker.host} does not see {place}: {seen.get(place, 'it has not looked yet')}"
