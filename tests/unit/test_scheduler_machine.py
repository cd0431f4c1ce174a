"""Random histories of the scheduler against a naive reference; and mutants that the reference must catch."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from scheduler_world import World, outcomes

from taskgrid.model import Backoff, Cause, TaskOptions, WorkerId
from taskgrid.scheduler import apply, checkpoint, control, isolation, lease, report, workers
from taskgrid.scheduler.runs import as_runs
from taskgrid.scheduler.state import Core, Job

_OPTIONS = TaskOptions(max_attempts=3, backoff=Backoff(first=timedelta(seconds=5)))
_WORKERS = [WorkerId("a"), WorkerId("b"), WorkerId("c")]
_CAUSES = st.sampled_from([Cause.ERROR, Cause.CRASH, Cause.MEMORY, Cause.TIME_LIMIT])
_QUICK = settings(
    max_examples=100,
    stateful_step_count=40,
    suppress_health_check=list(HealthCheck),
)
_HUNT = settings(_QUICK, max_examples=600, database=None, derandomize=True, phases=[Phase.generate])


class SchedulerMachine(RuleBasedStateMachine):
    """Submits, leases, partial, late and repeated reports, expiries, releases, cancels, retries, crashes."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        for worker, host in zip(_WORKERS, ("h1", "h1", "h2"), strict=True):
            self.world.enlist(worker, host)
        self.world.submit(None, 6, seal=False, options=_OPTIONS)
        self.world.commit()

    def job(self, data: st.DataObject) -> Job:
        return data.draw(st.sampled_from(list(self.world.core.jobs.values())))

    def runs(self, data: st.DataObject, job: Job) -> list[tuple[int, int]]:
        return as_runs(sorted(data.draw(st.sets(st.integers(0, max(job.total - 1, 0)), min_size=1, max_size=4))))

    @rule(count=st.integers(1, 5), seal=st.booleans(), alone=st.booleans(), data=st.data())
    def submit(self, count: int, seal: bool, alone: bool, data: st.DataObject) -> None:
        job = self.job(data)
        if not job.sealed and job.total < 30:
            self.world.submit(job, count, seal=seal, options=_OPTIONS)
        elif len(self.world.core.jobs) < 3:
            options = _OPTIONS.model_copy(update={"alone": alone})
            self.world.submit(None, count, seal=seal, options=options)

    @rule(worker=st.sampled_from(_WORKERS), bundles=st.integers(1, 3))
    def lease(self, worker: WorkerId, bundles: int) -> None:
        self.world.lease(worker, bundles)

    @rule()
    def everybody_leases(self) -> None:
        for worker in _WORKERS:
            self.world.lease(worker, 2)
        self.world.commit()

    @rule()
    def crash_while_much_is_out(self) -> None:
        self.everybody_leases()
        self.world.crash()
        self.report_an_old_lease(1)

    @rule()
    def everything_expires(self) -> None:
        self.world.now += 31.0
        self.world.core.ticked_at = self.world.now
        self.world.tick()
        for worker, host in self.world.hosts.items():
            self.world.enlist(worker, host)

    @rule(worker=st.sampled_from(_WORKERS), times=st.integers(1, 3))
    def a_worker_is_lost_with_all_it_holds(self, worker: WorkerId, times: int) -> None:
        for _ in range(times):
            self.world.lease(worker, 3)
            self.world.commit()
            while (there := self.world.core.workers.get(worker)) and there.gone_at is None:
                workers.disconnected(self.world.core, worker, self.world.now)
            self.world.now += 1.5
            self.world.core.ticked_at = self.world.now
            self.world.tick()
            self.world.enlist(worker, self.world.hosts[worker])

    @rule(back=st.integers(1, 6))
    def report_an_old_lease(self, back: int) -> None:
        for held in self.world.held[-back:][:1]:
            self.world.report(outcomes(held, held.tasks, {}), held.worker)

    @rule()
    def a_holder_comes_too_late(self) -> None:
        self.everybody_leases()
        late = self.world.held[-1:]
        self.everything_expires()
        count = len(self.world.held)
        self.everybody_leases()
        for held in self.world.held[count:]:
            given = workers.Held(held.token, held.job, as_runs(held.tasks))  # type: ignore[arg-type]
            workers.release(self.world.core, held.worker, [given])
        for held in late:
            named = workers.Held(held.token, held.job, as_runs(held.tasks))  # type: ignore[arg-type]
            workers.extend(self.world.core, held.worker, [named], self.world.now)
            self.world.report(outcomes(held, held.tasks, {}), held.worker)

    @rule()
    def commit(self) -> None:
        self.world.commit()

    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        if not self.world.held:
            return
        held = data.draw(st.sampled_from(self.world.held))
        tasks = sorted(data.draw(st.sets(st.sampled_from(held.tasks), min_size=1)))
        faults = data.draw(st.dictionaries(st.sampled_from(tasks), _CAUSES, max_size=3))
        self.world.report(outcomes(held, tasks, faults), held.worker)

    @rule(data=st.data(), cause=_CAUSES)
    def report_a_failure_twice(self, data: st.DataObject, cause: Cause) -> None:
        if not self.world.held:
            return
        held = data.draw(st.sampled_from(self.world.held))
        task = data.draw(st.sampled_from(held.tasks))
        for _ in range(2):
            self.world.report(outcomes(held, [task], {task: cause}), held.worker)

    @rule(data=st.data())
    def repeat_a_report(self, data: st.DataObject) -> None:
        if self.world.reported:
            self.world.report(data.draw(st.sampled_from(self.world.reported)), data.draw(st.sampled_from(_WORKERS)))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.world.held:
            held = data.draw(st.sampled_from(self.world.held))
            part = sorted(data.draw(st.sets(st.sampled_from(held.tasks), min_size=1)))
            given = workers.Held(held.token, held.job, as_runs(part))  # type: ignore[arg-type]
            workers.release(self.world.core, held.worker, [given])

    @rule(data=st.data(), worker=st.sampled_from(_WORKERS))
    def beat(self, data: st.DataObject, worker: WorkerId) -> None:
        held = [
            workers.Held(held.token, held.job, as_runs(held.tasks))  # type: ignore[arg-type]
            for held in self.world.held
            if held.worker == worker and data.draw(st.booleans())
        ]
        if workers.extend(self.world.core, worker, held, self.world.now) is None:
            self.world.enlist(worker, self.world.hosts[worker])

    @rule(worker=st.sampled_from(_WORKERS))
    def beat_for_the_oldest_lease(self, worker: WorkerId) -> None:
        self.world.now += 0.5
        self.world.lease(worker, 1)
        self.world.commit()
        for lease_ in list(self.world.core.leases.values())[:1]:
            named = workers.Held(lease_.token, lease_.job, lease_.runs.runs())
            workers.extend(self.world.core, lease_.worker, [named], self.world.now)

    @rule(seconds=st.sampled_from([0.5, 1.5, 6.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds
        self.world.core.ticked_at = self.world.now
        self.world.tick()

    @rule()
    def stand_still(self) -> None:
        leases = set(self.world.core.leases)
        self.world.now += 1000.0
        self.world.tick()
        assert leases == set(self.world.core.leases), "nobody could beat: nothing expires"

    @rule(worker=st.sampled_from(_WORKERS))
    def disconnect(self, worker: WorkerId) -> None:
        workers.disconnected(self.world.core, worker, self.world.now)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = self.job(data)
        self.world.cancel(job, self.runs(data, job))

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        job = self.job(data)
        self.world.retry(job, self.runs(data, job))

    @rule()
    def crash(self) -> None:
        self.world.crash()

    @rule(data=st.data())
    def checkpoint(self, data: st.DataObject) -> None:
        self.world.checkpoint(self.job(data).number)

    @invariant()
    def all_is_well(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.finish()


def test_random_histories_agree_with_the_reference() -> None:
    """No history loses a task, ends one twice, or takes a report under a superseded token."""
    run_state_machine_as_test(SchedulerMachine, settings=_QUICK)


def _without_floor(job: Job, record: Any) -> None:
    for start, stop in record.runs:
        job.unqueue(start, stop)


def _failed_attempt_keeps_its_token(job: Job, record: Any, again: Any) -> None:
    original(job, record.model_copy(update={"token": record.token._replace(counter=record.token.counter - 1)}), again)


original = apply._try_again


def _forgotten_requeue(core: Any, lease_: Any, done: Any, now: float) -> None:
    core.drop_lease(lease_)


def _no_doubt(core: Any, job: Job, now: float) -> None:
    job.cursor = 0
    job.again.remove(0, job.total)
    job.singles.remove(0, job.total)
    job.isolated.remove(0, job.total)
    job.elsewhere.clear()
    job.client_seen = now
    job.note_position()
    job.committed(job.next_record - 1)
    core.add(job)


def _line_kept_only_by_records(core: Any, job: Job, record: int) -> None:
    job.committed(record)


def _renewed_in_place(core: Core, lease_: Any, now: float) -> None:
    lease_.expires_at = now + core.limits.lease


def _whoever_was_leased_singly_is_charged(
    core: Any, job: Job, index: int, done: Any, now: float, *, charged: bool, singly: bool
) -> None:
    suspect(core, job, index, done, now, charged=charged or singly, singly=singly)


suspect = workers._suspect


def _lease_forgets_isolation(job: Job, record: Any) -> None:
    leased(job, record.model_copy(update={"isolated": False}))


leased = apply._lease


def _lease_forgets_its_worker(job: Job, record: Any) -> None:
    leased(job, record.model_copy(update={"worker": ""}))


def _brought_back_to_nowhere(core: Core, job: Job, cancelled: Any, now: float) -> None:
    for run in cancelled:
        job.again.remove(*run)


MUTANTS = {
    "who was only there is charged as well": (workers, "_suspect", _whoever_was_leased_singly_is_charged),
    "a worker that has a task to itself gets others": (isolation, "gets_nothing", lambda *_: False),
    "who is back after a restart counts as lost": (apply, "_lease", _lease_forgets_its_worker),
    "what is brought back waits in no line": (control, "_hold_back", _brought_back_to_nowhere),
    "replay forgets that a task was in isolation": (apply, "_lease", _lease_forgets_isolation),
    "a beat takes leases up regardless of the fence": (workers, "rank", lambda _: sys.maxsize),
    "what was committed is not seen to wait": (Core, "committed", _line_kept_only_by_records),
    "nobody sets an alarm": (Core, "arm", lambda *_: None),
    "a renewed lease keeps its place": (Core, "renew", _renewed_in_place),
    "a later lease sets no floor": (apply, "_lease", _without_floor),
    "a failed attempt's token stays good": (apply, "_try_again", _failed_attempt_keeps_its_token),
    "an expired lease's tasks are forgotten": (workers, "_expire", _forgotten_requeue),
    "a restart leases what may still be held without a record": (checkpoint, "restore", _no_doubt),
    "a lease moves the cursor beyond the mark": (lease, "next_mark", lambda *_: None),
    "a report is taken whatever its token": (report, "_verdict", lambda *_: report.Verdict.TAKEN),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_reference_catches(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that no mutant fails proves nothing."""
    where, name, worse = MUTANTS[mutant]
    monkeypatch.setattr(where, name, worse)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # any way of failing will do
        run_state_machine_as_test(SchedulerMachine, settings=_HUNT)
    assert caught.value is not None
