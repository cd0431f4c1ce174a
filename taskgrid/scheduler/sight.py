"""Which workers see the places that a job's tasks read: one that doesn't gets none of them.

A job may name folders. A worker is asked about those that waiting jobs name, looks, and says with its next
enlisting what it sees and why not; until then it gets none of their tasks. What it doesn't see it is asked
about again with each beat, so that a folder that is mounted later is found.
"""

from __future__ import annotations

from taskgrid.scheduler.state import Core, Worker
from taskgrid.scheduler.waiting import Kind


def sees(worker: Worker, kind: Kind) -> bool:
    """Say whether a worker sees all that jobs of a kind read."""
    return all(worker.places.get(place) == "" for place in kind.places)


def places_to_look_at(core: Core, worker: Worker, *, again: bool = False) -> tuple[str, ...]:
    """Return the places of waiting jobs that a worker has not said it sees, and was not asked about before.

    `again`: those it was asked about as well.
    """
    wanted = {place for kind in core.waiting.kinds() for place in kind.places if worker.places.get(place) != ""}
    news = wanted if again else wanted - worker.asked
    worker.asked |= news
    return tuple(sorted(news))


def why_unseen(worker: Worker, kind: Kind) -> str:
    """Return which place of a kind's jobs a worker doesn't see, and why."""
    place = next(place for place in kind.places if worker.places.get(place) != "")
    return f"{worker.name} on {worker.host} does not see {place}: {worker.places.get(place, 'it has not looked yet')}"
