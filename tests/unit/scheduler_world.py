"""A world for the scheduler: a journal that can lose what it has not committed, workers, and a naive reference.

The reference knows per task whether it has ended and which token may report on it, from a log of
effects; effects that rest on a change that was never committed are gone after a crash. It also knows
which leases were said to be in isolation, and holds what workers have, and who is charged, against that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from taskgrid.lifecycle import BYTE, ENDED, STATE, TaskState
from taskgrid.model import Cause, Epoch, JobId, JobSpec, Record, TaskOptions, Token, Verdict, WorkerId, new_id
from taskgrid.scheduler import checkpoint, control, lease, report, submit, workers
from taskgrid.scheduler.change import Change
from taskgrid.scheduler.limits import Limits
from taskgrid.scheduler.state import Core, Job, Worker

Task = tuple[int, int]
LIMITS = Limits(lease=30.0, reconnect_grace=1.0)


@dataclass
class Held:
    """What a simulated worker believes to hold, and what it reported."""

    token: Token
    job: int
    tasks: list[int]
    worker: WorkerId


@dataclass
class Effect:
    """One line of the reference's log."""

    kind: str
    task: Task
    token: Token | None
    rests_on: int | None


@dataclass
class World:
    """Core, journal, workers and reference."""

    now: float = 1000.0
    epoch: int = 1
    changes: list[Change] = field(default_factory=list)
    committed: int = 0
    log: list[Effect] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    reported: list[report.Outcomes] = field(default_factory=list)
    undelivered: list[tuple[int, Held]] = field(default_factory=list)
    hosts: dict[WorkerId, str] = field(default_factory=dict)
    checkpoints: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    isolated: dict[Token, WorkerId] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.core = self._new_core()

    # ------------------------------------------------------------ the journal

    def append(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self.changes.append(change)

    def commit(self) -> None:
        """Commit everything, and deliver the leases that waited for it."""
        for change in self.changes[self.committed :]:
            if job := self.core.jobs.get(change.job):
                self.core.committed(job, change.first_record + len(change.records) - 1)
        self.committed = len(self.changes)
        self.held += [held for _, held in self.undelivered]
        self.undelivered.clear()

    def crash(self) -> None:
        """Lose what is not committed, and start again from the records; some workers come at once, others later."""
        self.log = [effect for effect in self.log if effect.rests_on is None or effect.rests_on < self.committed]
        del self.changes[self.committed :]
        self.undelivered.clear()
        self.epoch += 1
        self.core = self._new_core()
        numbers = sorted({change.job for change in self.changes})
        for number in numbers:
            checkpointed, body = self.checkpoints.get(number, (0, None))
            records = self.records(number)
            if checkpointed > len(records):
                checkpointed, body = 0, None
            job = checkpoint.replay(body, records[checkpointed:])
            assert job is not None
            checkpoint.restore(self.core, job, self.now)
        for at, (worker, host) in enumerate(self.hosts.items()):
            if (at + self.epoch) % 3:
                self.enlist(worker, host)

    def checkpoint(self, number: int) -> None:
        """Keep a checkpoint of a job whose changes are all committed."""
        self.commit()
        job = self.core.jobs[number]  # type: ignore[index]
        self.checkpoints[number] = (job.next_record, checkpoint.dump(job))

    def records(self, number: int) -> list[Record]:
        found: list[Record] = []
        for change in self.changes:
            if change.job == number:
                assert change.first_record == len(found), "records are numbered densely"
                found += change.records
        return found

    def _new_core(self) -> Core:
        epochs = {number: f"salt{number}" for number in range(1, self.epoch + 1)}
        return Core(Epoch(self.epoch, f"salt{self.epoch}"), epochs, LIMITS, self.now)

    # ------------------------------------------------------------ commands

    def enlist(self, worker: WorkerId, host: str) -> None:
        self.hosts[worker] = host
        from taskgrid.model import CodeVersion

        workers.enlist(
            self.core,
            Worker(worker, worker, host, 1, 2, "0", "3", {"m:f": CodeVersion()}, since=self.now, seen_at=self.now),
        )
        workers.connected(self.core, worker)
        workers.extend(self.core, worker, (), self.now)

    def submit(self, job: Job | None, count: int, *, seal: bool, options: TaskOptions) -> None:
        identity = job.id if job else JobId(new_id())
        spec = None if job else JobSpec(id=identity, function="m:f", options=options)
        ordinal = job.next_ordinal if job else 0
        done = submit.submit(self.core, submit.Chunk(identity, ordinal, count, count * 4, seal, spec), self.now)
        assert done.change
        done.job.mark_step = 2  # so that a lease has to move it, too
        self.append([done.change])

    def lease(self, worker: WorkerId, bundles: int) -> None:
        had = set(self.core.workers[worker].leases) if worker in self.core.workers else set()
        answer = lease.lease(self.core, worker, new_id(), bundles, self.now)
        self._note_isolation(worker, had, answer)
        before = len(self.changes)
        self.append(answer.changes)
        for grant in answer.grants:
            tasks = [index for low, high in grant.lease.runs for index in range(low, high)]
            waits = grant.job in answer.rests_on and answer.rests_on[grant.job] > grant.job.committed_record
            rests_on = len(self.changes) - 1 if waits else None
            assert before <= len(self.changes)
            held = Held(grant.lease.token, grant.job.number, tasks, worker)
            for index in tasks:
                assert self.may_report((grant.job.number, index)) != grant.lease.token
                self.log.append(Effect("grant", (grant.job.number, index), grant.lease.token, rests_on))
            if rests_on is None:
                self.held.append(held)
            else:
                self.undelivered.append((rests_on, held))

    def report(self, outcomes: report.Outcomes, worker: WorkerId) -> None:
        """Report, and compare every verdict with the reference."""
        tasks = [(outcomes.job, index) for low, high in outcomes.runs for index in range(low, high)]
        expected = {task: self._expected(task, outcomes.token) for task in tasks}
        done = report.report(self.core, worker, outcomes, self.now)
        verdicts = {(outcomes.job, i): verdict for run, verdict in done.verdicts for i in range(*run)}
        assert verdicts == expected
        self.reported.append(outcomes)
        if done.change is None:
            return
        self.append([done.change])
        record = done.change.records[0]
        assert record.kind == "reported"
        again = {second.index for second in record.again}
        ended = {index for low, high in record.runs for index in range(low, high)}
        taken = {task[1] for task, verdict in verdicts.items() if verdict is Verdict.TAKEN}
        assert again | ended == taken
        assert not again & ended
        rests_on = len(self.changes) - 1
        for index in ended:
            self.log.append(Effect("end", (outcomes.job, index), outcomes.token, rests_on))
        for index in again:
            self.log.append(Effect("close", (outcomes.job, index), None, rests_on))

    def _note_isolation(self, worker: WorkerId, had: set[Token], answer: lease.Leases) -> None:
        records = [record for change in answer.changes for record in change.records if record.kind == "leased"]
        new = {record.token for record in records if record.isolated}
        assert not (new and (had or len(answer.grants) > 1)), "others are there"
        assert not (had and had <= self.isolated.keys() and answer.grants), "it has a task to itself, and got another"
        self.isolated |= dict.fromkeys(new, worker)

    def tick(self) -> None:
        held: dict[Task, set[Task]] = {}
        for worker in self.core.workers.values():
            tasks = {(each.job, index) for each in worker.leases.values() for run in each.runs for index in range(*run)}
            held.update(dict.fromkeys(tasks, tasks))
        doubted = {(job.number, index) for job in self.core.jobs.values() for run in job.doubt for index in range(*run)}
        losses = {task: self._lost(task) for task in [*held, *doubted]}
        done = workers.tick(self.core, self.now)
        self._ended_by_master(done.changes)
        ended, current = self.naive() if doubted else ({}, {})
        for task, lost in losses.items():
            charged = self._lost(task) > lost
            if task in held:
                assert not charged or held[task] == {task}, f"{task} is charged, but {held[task]} were there"
            elif task[1] not in self.core.jobs[task[0]].doubt:  # type: ignore[index]
                holder = self.isolated.get(token) if (token := current.get(task)) else None
                assert charged == (task in ended or (holder is not None and holder not in self.core.workers))

    def _lost(self, task: Task) -> int:
        return self.core.jobs[task[0]].trails.past(task[1]).lost  # type: ignore[index]

    def cancel(self, job: Job, runs: list[tuple[int, int]]) -> None:
        self._ended_by_master(control.cancel(self.core, job, runs, self.now))

    def retry(self, job: Job, runs: list[tuple[int, int]]) -> None:
        for change in control.retry(self.core, job, runs, self.now):
            self.append([change])
            record = change.records[0]
            assert record.kind == "retried"
            for low, high in record.runs:
                for index in range(low, high):
                    self.log.append(Effect("reopen", (job.number, index), None, len(self.changes) - 1))

    def _ended_by_master(self, changes: list[Change]) -> None:
        for change in changes:
            self.append([change])
            for row in change.rows:
                for index in range(row.first, row.first + row.count):
                    kind = "cancel" if row.cancelled else "end"
                    self.log.append(Effect(kind, (change.job, index), None, len(self.changes) - 1))

    # ------------------------------------------------------------ the reference

    def naive(self) -> tuple[dict[Task, str], dict[Task, Token | None]]:
        """Return how tasks ended, and which token may report on those that did not."""
        ended: dict[Task, str] = {}
        current: dict[Task, Token | None] = {}
        for effect in self.log:
            if effect.kind in {"end", "cancel"}:
                assert effect.task not in ended, f"{effect.task} ended twice"
                ended[effect.task] = effect.kind
            elif effect.kind == "reopen":
                ended.pop(effect.task)
                current[effect.task] = None
            else:
                current[effect.task] = effect.token
        return ended, current

    def may_report(self, task: Task) -> Token | None:
        return self.naive()[1].get(task)

    def _expected(self, task: Task, token: Token) -> Verdict | None:
        ended, current = self.naive()
        if task in ended:
            return Verdict.CANCELLED if ended[task] == "cancel" else None
        return Verdict.TAKEN if current.get(task) == token else Verdict.STALE

    # ------------------------------------------------------------ invariants

    def check(self) -> None:
        """Walk all invariants."""
        ended, _ = self.naive()
        _check_core(self.core)
        for job in self.core.jobs.values():
            _check_job(self.core, job)
            in_memory = {(job.number, i) for i, byte in enumerate(job.states) if STATE[byte] in ENDED}
            assert in_memory == {task for task in ended if task[0] == job.number}
        sequences = [row.sequence for change in self.changes for row in change.rows if change.job == 1]
        assert sequences == list(range(1, len(sequences) + 1)), "outcome rows are numbered densely"

    def finish(self) -> None:
        """Whatever happened, every task ends when workers work; nothing is lost."""
        worker = WorkerId("last")
        self.enlist(worker, "last-host")
        step: Callable[[Job], bool] = lambda job: not job.ended  # noqa: E731  # one word for the loop below
        for _ in range(400):
            self.commit()
            self.now += 1.0 if self.core.leases else 40.0
            for there in list(self.core.connected()):
                there.seen_at = self.now
            self.core.ticked_at = self.now
            self.tick()
            self.commit()
            if not any(step(job) and job.live for job in self.core.jobs.values()):
                return
            self.held.clear()
            self.lease(worker, 4)
            self.commit()
            for held in self.held:
                self.report(outcomes(held, held.tasks, {}), worker)
            self.held.clear()
        raise AssertionError(f"tasks never ended: {[(j.number, bytes(j.states)) for j in self.core.jobs.values()]}")


def outcomes(held: Held, tasks: list[int], faults: dict[int, Cause]) -> report.Outcomes:
    """Make a report on some of a lease's tasks."""
    from taskgrid.scheduler.runs import as_runs

    return report.Outcomes(
        token=held.token,
        number=1,
        job=held.job,  # type: ignore[arg-type]
        runs=as_runs(sorted(tasks)),
        faults={index: report.Fault(cause, "builtins.FileNotFoundError") for index, cause in faults.items()},
        durations=((3, len(tasks)),),
    )


def _check_core(core: Core) -> None:
    """Compare what is kept up to date with what a scan finds."""
    assert core.waiting.jobs == {job.number: job for job in core.jobs.values() if job.leasable}
    assert core.bundles(1 << 30) == sum(job.leasable for job in core.jobs.values())
    assert core.queued == sum(job.live for job in core.jobs.values())
    assert list(core.leases) == [each.token for each in sorted(core.leases.values(), key=lambda each: each.expires_at)]
    assert core.waiting.next_of(core.waiting.kinds()) is _naive_next(core)
    for token in core.isolated:
        ((index, _),) = core.leases[token].runs
        assert core.jobs[core.leases[token].job].trails.past(index).isolated
        assert list(core.workers[core.leases[token].worker].leases) == [token], "it has company"
    for job in core.jobs.values():
        assert job.in_line or not job.leasable
        due = [job.trails.due_at(index) for index in range(job.total)]
        needed = [at for at in due if at is not None]
        needed += [core.doubt_ends_at(job)] if job.doubt else []
        needed += [core.held_back_until(job)] if job.held_back else []
        needed += [] if job.sealed else [job.client_seen + job.spec.client_grace.total_seconds()]
        assert job.alarm_at <= min(needed, default=math.inf), "a tick would come too late"
        assert math.isinf(job.alarm_at) or (job.alarm_at, job.number) in core.alarms


def _naive_next(core: Core) -> Job | None:
    """Find the job whose turn it is among those of one owner."""
    waiting = [job for job in core.jobs.values() if job.leasable]
    return min(waiting, key=lambda job: (-job.priority, job.usage, job.grants, job.number), default=None)


def _check_job(core: Core, job: Job) -> None:
    assert job.counts == [job.states.count(state) for state in range(len(STATE))]
    queued, delayed, leased = (BYTE[s] for s in (TaskState.QUEUED, TaskState.DELAYED, TaskState.LEASED))
    assert job.leases == {token: lease for token, lease in core.leases.items() if lease.job == job.number}
    for index, state in enumerate(job.states):
        covering = [lease for lease in job.leases.values() if index in lease.runs]
        assert len(covering) == (state == leased), f"task {index} is covered by {len(covering)} leases"
        lines = sum(index in line for line in (job.again, job.singles, job.isolated, job.doubt, job.held_back)) + sum(
            index in line for line in job.elsewhere.values()
        )
        fresh = index >= job.cursor
        assert lines + fresh == 1 if state == queued else not lines, f"task {index} waits in {lines} lines"
        assert (job.trails.due_at(index) is not None) == (state == delayed)
    assert job.ended == (job.sealed and not job.live)
    assert (job.number in core.active) == (not job.ended)
    for lease_ in core.leases.values():
        assert lease_.runs
        assert core.workers[lease_.worker].leases[lease_.token] is lease_
