"""A scene for the scheduler's rules: a core, workers by name, and commands in one word each.

Everything decided is committed at once unless a test says otherwise; `restart` replays the records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskgrid.lifecycle import STATE
from taskgrid.model import (
    Cause,
    CodeVersion,
    Epoch,
    JobId,
    JobSpec,
    Record,
    Run,
    TaskOptions,
    Verdict,
    WorkerId,
    new_id,
)
from taskgrid.scheduler import checkpoint, control, lease, report, submit, workers
from taskgrid.scheduler.change import Change
from taskgrid.scheduler.lease import Grant
from taskgrid.scheduler.limits import Limits
from taskgrid.scheduler.runs import count
from taskgrid.scheduler.state import Core, Job, Worker


class Scene:
    """One master's core and the records that its journal would hold."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits(least_seconds=0.0)
        self.now = 1000.0
        self.epoch = 1
        self.records: dict[int, list[Record]] = {}
        self.core = self._core()

    def _core(self) -> Core:
        epochs = {number: f"salt{number}" for number in range(1, self.epoch + 1)}
        return Core(Epoch(self.epoch, f"salt{self.epoch}"), epochs, self.limits, self.now)

    def keep(self, *changes: Change | None) -> None:
        """Commit changes."""
        for change in changes:
            if change is None:
                continue
            kept = self.records.setdefault(change.job, [])
            assert change.first_record == len(kept), "records are numbered densely"
            kept += change.records
            if job := self.core.jobs.get(change.job):
                self.core.committed(job, len(kept) - 1)

    def restart(self, kept: bytes | None = None) -> None:
        """Start again from the records, or from a checkpoint of the only job that was just made."""
        self.epoch += 1
        self.core = self._core()
        for _, records in sorted(self.records.items()):
            job = checkpoint.replay(kept, records if kept is None else ())
            assert job is not None
            checkpoint.restore(self.core, job, self.now)

    def worker(
        self, name: str, *, host: str = "", slots: int = 1, function: str = "m:f", told: bool = True
    ) -> WorkerId:
        """Enlist a worker with one connection, which says that it holds nothing unless `told` is false.

        Where one of that name was lost, it is another: with an id of its own it would not be known either.
        """
        identity = WorkerId(name)
        if told and (known := self.core.workers.get(identity)) and known.lost_at is not None:
            del self.core.workers[identity]
        offers = {function: CodeVersion()}
        new = Worker(identity, name, host or name, 1, slots, "0", "3", offers, since=self.now, seen_at=self.now)
        workers.enlist(self.core, new)
        workers.connected(self.core, identity)
        if told:
            self.beat(identity)
        return identity

    def job(self, tasks: int, *, seal: bool = True, key: str | None = None, owner: str = "", **options: Any) -> Job:
        """Submit a job in one chunk."""
        identity = JobId(new_id())
        spec = JobSpec(id=identity, function="m:f", owner=owner, key=key, options=TaskOptions(**options))
        return self.chunk(identity, 0, tasks, seal=seal, spec=spec).job

    def chunk(
        self, job: JobId, ordinal: int, tasks: int, *, seal: bool = False, spec: JobSpec | None = None
    ) -> submit.Submitted:
        """Submit a chunk."""
        done = submit.submit(self.core, submit.Chunk(job, ordinal, tasks, tasks * 4, seal, spec), self.now)
        self.keep(done.change)
        return done

    def lease(self, worker: WorkerId, bundles: int = 1) -> list[Grant]:
        """Ask for work."""
        answer = lease.lease(self.core, worker, new_id(), bundles, self.now)
        self.keep(*answer.changes)
        assert all(record <= job.committed_record for job, record in answer.rests_on.items())
        return answer.grants

    def report(
        self,
        worker: WorkerId,
        grant: Grant,
        faults: Mapping[int, report.Fault] | None = None,
        *,
        runs: tuple[Run, ...] | None = None,
        seconds: float = 0.0,
        bucket: int = 3,
    ) -> dict[int, Verdict | None]:
        """Report a lease's tasks; return the verdicts by task."""
        runs = grant.lease.runs.runs() if runs is None else runs
        succeeded = count(runs) - len(faults or {})
        done = report.report(
            self.core,
            worker,
            report.Outcomes(
                token=grant.lease.token,
                number=1,
                job=grant.job.number,
                runs=runs,
                faults=faults or {},
                seconds=seconds,
                durations=((bucket, succeeded),) if succeeded else (),
            ),
            self.now,
        )
        self.keep(done.change)
        return {index: verdict for run, verdict in done.verdicts for index in range(*run)}

    def beat(self, worker: WorkerId, *grants: Grant, runs: tuple[Run, ...] = ()) -> list[workers.Taken] | None:
        """Name leases, as they were granted or with `runs`."""
        held = [workers.Held(each.lease.token, each.job.number, runs or each.lease.runs.runs()) for each in grants]
        return workers.extend(self.core, worker, held, self.now)

    def tick(self, seconds: float = 0.0) -> workers.Tick:
        """Let time pass in steps that no clock would call a jump, with nobody beating."""
        self.now += seconds
        self.core.ticked_at = self.now
        done = workers.tick(self.core, self.now)
        self.keep(*done.changes)
        return done

    def cancel(self, job: Job, *runs: Run, only_queued: bool = False) -> None:
        """Cancel tasks, or the whole job."""
        self.keep(*control.cancel(self.core, job, runs, self.now, only_queued=only_queued))

    def retry(self, job: Job, *runs: Run) -> None:
        """Bring tasks back."""
        self.keep(*control.retry(self.core, job, runs, self.now))

    def again(self, job: Job) -> Job:
        """Return the job as the restarted core has it."""
        return self.core.jobs[job.number]


def states(job: Job) -> list[str]:
    """Say where each task stands."""
    return [STATE[byte].value for byte in job.states]


def fault(cause: Cause = Cause.ERROR, kind: str = "builtins.ValueError") -> report.Fault:
    """Return a failed attempt."""
    return report.Fault(cause, kind, "it failed")
