"""Who is to blame for a lost worker: the one task that ran there, never one that only waited behind it."""

from __future__ import annotations

import pytest
from scheduler_scene import Scene, states

from taskgrid.scheduler import workers


@pytest.mark.xfail(reason="a lease of one task is charged whether that task ran or waited behind another")
def test_a_task_that_waited_behind_the_one_that_kills_workers_is_not_buried_with_it() -> None:
    """Its neighbour kills worker after worker of one slot, which hold both: only the neighbour fails for that."""
    scene = Scene()
    job = scene.job(2)
    for number in range(scene.limits.lost_workers):
        worker = scene.worker(f"w{number}")
        assert scene.lease(worker, 2), "what runs, and what waits behind it"
        workers.disconnected(scene.core, worker, scene.now)
        scene.tick(scene.limits.reconnect_grace + 1)
    assert states(job) == ["failed", "queued"]
