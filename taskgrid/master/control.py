"""The control verbs: workers enlist and leave, people look and act. Parse, call, answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from taskgrid import __version__
from taskgrid.errors import Refused, UsageError
from taskgrid.lifecycle import TaskState
from taskgrid.master.engine import Engine
from taskgrid.model import Explanation, GridView, LimitView, Run, TaskOptions
from taskgrid.scheduler import control, explain, submit, view, workers
from taskgrid.scheduler.change import Change
from taskgrid.scheduler.state import Job, Worker
from taskgrid.settings import MasterSettings
from taskgrid.transport.protocol import (
    BackupReply,
    BackupRequest,
    Empty,
    EnlistReply,
    EnlistRequest,
    ExplainRequest,
    HealthReply,
    JobsReply,
    KeepReply,
    KeepRequest,
    LeaveRequest,
    Parts,
    Peer,
    Selector,
    SelectRequest,
    TasksReply,
    TasksRequest,
    Touched,
    TouchedReply,
    WorkersReply,
)

_HEALTHY_WITHIN = 5.0
_NEAR = 0.9


class Control:
    """What `get_control` gives."""

    def __init__(self, engine: Engine, settings: MasterSettings) -> None:
        self._engine = engine
        self._settings = settings

    def enlist(self, peer: Peer, request: EnlistRequest, parts: Parts) -> tuple[EnlistReply, Parts]:
        """Take a worker in."""
        del parts
        engine, now = self._engine, self._engine.now()
        worker = Worker(
            id=request.worker,
            name=request.name,
            host=request.host,
            pid=request.pid,
            slots=request.slots,
            version=request.version,
            python=request.python,
            offers={offer.function: offer.code for offer in request.offers},
            declared={offer.function: offer.options for offer in request.offers if offer.options != TaskOptions()},
            since=now,
            seen_at=now,
            draining=request.draining,
            places=request.places,
        )
        with engine.lock:
            workers.enlist(engine.core, worker)
            engine.heard(peer, request.worker)
            engine.wake()
        settings = self._settings
        return EnlistReply(
            ttl=settings.lease.total_seconds(),
            beat=settings.beat.total_seconds(),
            reconnect_grace=settings.reconnect_grace.total_seconds(),
        ), ()

    def leave(self, peer: Peer, request: LeaveRequest, parts: Parts) -> tuple[Empty, Parts]:
        """Let a worker go."""
        del peer, parts
        with self._engine.lock:
            workers.leave(self._engine.core, request.worker)
            self._engine.wake()
        return Empty(), ()

    def keep(self, peer: Peer, request: KeepRequest, parts: Parts) -> tuple[KeepReply, Parts]:
        """Hear a client's beat."""
        del peer, parts
        with self._engine.lock:
            closed = submit.keep(self._engine.core, request.jobs, self._engine.now())
        return KeepReply(closed=tuple(closed)), ()

    def jobs(self, peer: Peer, request: SelectRequest, parts: Parts) -> tuple[JobsReply, Parts]:
        """Show jobs."""
        del peer, parts
        with self._engine.lock:
            chosen = [job for job, _ in self._choose(request.selectors)]
            return JobsReply(jobs=tuple(view.job_view(job) for job in chosen[-request.limit :])), ()

    def tasks(self, peer: Peer, request: TasksRequest, parts: Parts) -> tuple[TasksReply, Parts]:
        """Show tasks of one job."""
        del peer, parts
        core = self._engine.core
        with self._engine.lock:
            (job,) = control.choose(core, control.Choice(job=request.job))
            runs = request.runs or control.failed_runs(job)
            indices = (index for start, stop in runs for index in range(start, min(stop, job.total)))
            shown = tuple(view.task_view(core, job, index) for index in islice(indices, request.limit))
        return TasksReply(tasks=shown), ()

    def cancel(self, peer: Peer, request: SelectRequest, parts: Parts) -> tuple[TouchedReply, Parts]:
        """Cancel what has not ended of jobs or tasks; answered after the commit."""
        del peer, parts
        core = self._engine.core

        def act(job: Job, runs: Sequence[Run]) -> list[Change]:
            return control.cancel(core, job, runs, self._engine.now(), only_queued=request.only_queued)

        return self._bulk(request, control.cancellable, act)

    def retry(self, peer: Peer, request: SelectRequest, parts: Parts) -> tuple[TouchedReply, Parts]:
        """Bring failed and cancelled tasks back; answered after the commit."""
        del peer, parts
        core = self._engine.core
        return self._bulk(
            request, control.retriable, lambda job, runs: control.retry(core, job, runs, self._engine.now())
        )

    def forget(self, peer: Peer, request: SelectRequest, parts: Parts) -> tuple[TouchedReply, Parts]:
        """Drop jobs that have ended, and what was kept of them."""
        del peer, parts
        engine = self._engine
        with engine.lock:
            chosen = [job for job, _ in self._choose(request.selectors)]
            if any(selector.all for selector in request.selectors):
                chosen = [job for job in chosen if job.ended]
            touched = tuple(Touched(job=view.job_view(job), tasks=job.total) for job in chosen)
            for job in [] if request.dry_run else chosen:
                control.forget(engine.core, job)
                engine.forget(job)
        return TouchedReply(touched=touched), ()

    def explain(self, peer: Peer, request: ExplainRequest, parts: Parts) -> tuple[Explanation, Parts]:
        """Say why a job or a task waits, or how it ended."""
        del peer, parts
        engine = self._engine
        with engine.lock:
            chosen = self._choose((request.selector,))
            if not chosen:
                raise UsageError("there is no job to explain", hint="taskgrid jobs --everyone lists those there are")
            job, runs = chosen[-1]
            index = request.index if request.index is not None else runs[0][0] if runs else None
            if index is not None and index >= job.total:
                raise Refused(f"job {job.number} has {job.total:,} tasks", why=f"there is no task {index}")
            return explain.explain(engine.core, job, index, engine.now(), journal_full=engine.journal_full), ()

    def workers(self, peer: Peer, request: Empty, parts: Parts) -> tuple[WorkersReply, Parts]:
        """Show workers."""
        del peer, request, parts
        core = self._engine.core
        with self._engine.lock:
            return WorkersReply(workers=tuple(view.worker_view(core, worker) for worker in core.workers.values())), ()

    def status(self, peer: Peer, request: Empty, parts: Parts) -> tuple[GridView, Parts]:
        """Show the grid."""
        del peer, request, parts
        engine, core = self._engine, self._engine.core
        with engine.lock:
            there = list(core.connected())
            counts = Counter[TaskState]()
            for job in core.active.values():
                counts.update(view.counts(job))
            busy = sum(min(worker.slots, len(worker.leases)) for worker in there)
            return GridView(
                version=__version__,
                started_at=engine.started_at,
                now=engine.now(),
                epoch=core.epoch.number,
                durability=engine.journal.durability,
                journal=engine.journal.path,
                queued=counts[TaskState.QUEUED],
                delayed=counts[TaskState.DELAYED],
                leased=counts[TaskState.LEASED],
                jobs=len(core.jobs),
                open_jobs=sum(not job.sealed for job in core.active.values()),
                workers=len(there),
                slots=sum(worker.slots for worker in there),
                busy=busy,
                rate=engine.rate(),
                ended=engine.ended,
                limits=(limits := engine.meters.show()),
                notes=(*_near(limits), *self._notes(there)),
            ), ()

    def backup(self, peer: Peer, request: BackupRequest, parts: Parts) -> tuple[BackupReply, Parts]:
        """Copy the journal while it is in use; this connection's thread does it."""
        del peer, parts
        journal = self._engine.journal
        size = journal.backup(request.target)
        return BackupReply(path=str(Path(journal.path).parent / request.target), size=size), ()

    def health(self, peer: Peer, request: Empty, parts: Parts) -> tuple[HealthReply, Parts]:
        """Say whether the master serves: its time goes on, and its journal takes more."""
        del peer, request, parts
        engine = self._engine
        why = "the journal's disk is full" if engine.journal_full else ""
        if engine.now() - engine.core.ticked_at > _HEALTHY_WITHIN:
            why = "its upkeep stands still"
        return HealthReply(ok=not why, version=__version__, epoch=engine.core.epoch.number, why=why), ()

    def _notes(self, there: list[Worker]) -> list[str]:
        engine, core = self._engine, self._engine.core
        notes = ["the journal's disk is full: reports wait at the workers"] if engine.journal_full else []
        for job in core.active.values():
            found = explain.explain(core, job, None, engine.now(), journal_full=engine.journal_full)
            if found.reason in explain.STUCK:
                notes.append(f"job {job.number} waits: {found.what}")
        for worker in there:
            notes += [
                f"every task of job {number} fails on {worker.name}, and succeeds elsewhere"
                for number in view.worker_view(core, worker).suspected
            ]
        return notes[:20]

    def _bulk(
        self,
        request: SelectRequest,
        measure: Callable[[Job, Sequence[Run]], int],
        act: Callable[[Job, Sequence[Run]], list[Change]],
    ) -> tuple[TouchedReply, Parts]:
        engine = self._engine
        ticket = None
        touched = []
        with engine.lock:
            for job, runs in self._choose(request.selectors):
                tasks = measure(job, runs)
                if not request.dry_run:
                    ticket = engine.append(act(job, runs)) or ticket
                    tasks -= measure(job, runs)
                touched.append((job, tasks))
            engine.wake()
        if ticket:
            ticket.wait()
        with engine.lock:
            return TouchedReply(touched=tuple(Touched(job=view.job_view(job), tasks=n) for job, n in touched)), ()

    def _choose(self, selectors: Sequence[Selector]) -> list[tuple[Job, Sequence[Run]]]:
        chosen: list[tuple[Job, Sequence[Run]]] = []
        for selector in selectors:
            fields = selector.model_dump(exclude={"runs"})
            choice = control.Choice(**fields, runs=selector.runs)
            chosen += [(job, selector.runs) for job in control.choose(self._engine.core, choice)]
        return chosen


def _near(limits: Sequence[LimitView]) -> list[str]:
    """Name limits of which little is left; a retention is meant to be reached."""
    return [
        f"{limit.setting} is almost reached: {limit.used:,} of {limit.most:,}"
        for limit in limits
        if limit.most and limit.used and limit.used >= _NEAR * limit.most and not limit.setting.startswith("retention")
    ]
