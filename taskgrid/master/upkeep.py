"""The master's upkeep: time passes, leases end, finished jobs are forgotten.

One thread, one interval. Retention is looked at far more rarely than leases are.
"""

from __future__ import annotations

import threading
from typing import Final

import structlog

from taskgrid.master.engine import Engine
from taskgrid.scheduler import control, workers
from taskgrid.scheduler.state import Job
from taskgrid.settings import MasterSettings

_TICK: Final = 0.2
_RETENTION_EVERY: Final = 30.0

_SHARE: Final = 10
"""Of the finished jobs, a tenth is forgotten at a time while the journal is too large."""

_log = structlog.get_logger()


class Upkeep:
    """The thread that lets time pass for an engine."""

    def __init__(self, engine: Engine, settings: MasterSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._stop = threading.Event()
        self._retention_at = engine.now() + _RETENTION_EVERY
        self._thread = threading.Thread(target=self._run, name="taskgrid-upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, within: float) -> None:
        """End within that many seconds."""
        self._stop.set()
        self._thread.join(within)

    def _run(self) -> None:
        while not self._stop.wait(_TICK):
            self._tick()
            if self._engine.now() >= self._retention_at:
                self._retention_at = self._engine.now() + _RETENTION_EVERY
                self.forget()

    def _tick(self) -> None:
        engine = self._engine
        with engine.lock:
            lost = {worker.id for worker in engine.core.connected()}
            done = workers.tick(engine.core, engine.now())
            engine.append(done.changes)
            if done.freed or done.changes:
                engine.wake_if_work()
            lost -= {worker.id for worker in engine.core.connected()}
            names = [engine.core.workers[worker].name for worker in lost if worker in engine.core.workers]
        for name in names:
            _log.warning("worker.lost", worker=name)

    def forget(self) -> None:
        """Forget finished jobs after their retention, and the oldest first while the journal is too large."""
        engine, settings = self._engine, self._settings
        with engine.lock:
            ended = sorted((job.ended_at, job.number) for job in engine.core.jobs.values() if job.ended_at is not None)
            now = engine.now()
            due = [number for at, number in ended if now - at > settings.retention.total_seconds()]
            engine.meters.reached("retention", len(due))
            if not due and ended and engine.journal.size() > settings.retention_bytes:
                # Not all at once: what that frees shows only once the rows are gone.
                due = [number for _, number in ended[: max(1, len(ended) // _SHARE)]]
                engine.meters.reached("retention_bytes", len(due))
            for number in due:
                self._forget_one(engine.core.jobs[number])

    def _forget_one(self, job: Job) -> None:
        control.forget(self._engine.core, job)
        self._engine.forget(job)
        _log.info("job.forgotten", job=job.number)
