"""The offline checker: reads a history, and says what in it a grid must never do.

It replays what became durable into a `Record` and holds against it all that left the master, all
that clients were given, and all that workers ran. It knows the promises and none of the code that
keeps them. A rollback (power lost on an unsynced disk, an older backup put in place) voids what was
promised after the point it goes back to, and nothing else.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

from taskgrid.journal.writer import Append, Forget
from taskgrid.model import FAILURE_MARK, MERGED_MARK, Token, Verdict

from .awake import Suspension
from .client import Plan
from .company import Company
from .loop import Event
from .network import Message
from .overlap import Alone
from .record import JobRecord, Record, Task
from .worker import value_of

_LOST_WORKERS = 5
_CRASHES = 3
_MOST_DEATHS = 2 * _LOST_WORKERS + 5
"""Times that one task may take its host with it: those that count, and some that find it among others."""


def check(history: Iterable[Event], plans: Iterable[Plan], *, to_the_end: bool = True) -> list[str]:
    """Return what the history shows that may not be; empty if all is well, `to_the_end` if it has come to rest."""
    checker = Checker({plan.name: plan for plan in plans})
    for event in history:
        checker.read(event)
        if checker.findings or checker.record.findings:
            break  # what follows from a broken promise says nothing
    else:
        if to_the_end:
            checker.finish()
    return checker.record.findings + checker.findings


class Checker:
    """Reads a history line by line."""

    def __init__(self, plans: dict[str, Plan]) -> None:
        self.findings: list[str] = []
        self.record = Record()
        self._plans = plans
        self._log: list[Any] = []
        self._complete_at: dict[int, float] = {}
        """When a job was complete last, that went on after its end."""
        self._accepted: dict[str, tuple[str, int]] = {}
        self._granted: dict[tuple[int, int], Token] = {}
        self._expired: Counter[Token] = Counter()
        self._began: Counter[tuple[int, int]] = Counter()
        self._cancelling: set[tuple[int, int]] = set()
        """Tasks whose cancel waits for its commit: the master counts on nobody running them."""
        self._given: dict[tuple[str, str], Counter[int]] = {}
        self._undone: Counter[tuple[str, int]] = Counter()
        """Retries that a rollback took away, by job and task: what came of them may have been told before."""
        self._rolled_back = False
        self._at = 0.0
        self._suspension = Suspension(self._find)
        self._alone = Alone(self._find)
        self._company = Company(self._find, self._is_current)

    def _find(self, what: str) -> None:
        self.findings.append(f"at {self._at:.3f}: {what}")

    def read(self, event: Event) -> None:
        """Read one line."""
        self._at, kind, *facts = event
        self._suspension.read(event)
        self._alone.read(event)
        self._company.read(event)
        if method := getattr(self, f"_on_{kind.replace('-', '_')}", None):
            method(*facts)

    def finish(self) -> None:
        """Judge where it all came to rest."""
        self._alone.finish()
        for identity, (name, at) in self._accepted.items():
            self._judge_job(identity, self._plans[name], at)

    # ------------------------------------------------------------ the disk

    def _on_durable(self, entry: Any) -> None:
        self._log.append(entry)
        self._apply(entry)

    def _apply(self, entry: Any) -> None:
        if isinstance(entry, Append):
            for group in entry.groups:
                if group.job in self.record.jobs and self.record.jobs[group.job].ended:
                    self._complete_at[group.job] = self._at
                self.record.add(group)
                self._company.hear(group.records)
                self._cancelling.difference_update(_cancelled(group))
        elif isinstance(entry, Forget):
            self.record.forget(entry.job)

    def _is_current(self, job: int, index: int, token: Token) -> bool:
        """Say whether a lease is the last that a task was given, and the task has not ended."""
        if self._granted.get((job, index)) != token or (job, index) in self._cancelling:
            return False  # also what a rollback has voided
        known = self.record.jobs.get(job)
        return known is not None and not known.tasks[index].state

    def _on_rollback(self, log: tuple[Any, ...]) -> None:
        if log == tuple(self._log):
            return  # nothing was lost
        self._rolled_back = True
        before, self._log, self.record = self.record, [], Record()
        for entry in log:
            self._on_durable(entry)
        self._granted.clear()
        self._undone += before.openings() - self.record.openings()
        self._alone.turn(partial(_still_knows, before, self.record))
        kept = {identity: (self.record.by_id.get(identity), said) for identity, said in self._accepted.items()}
        self._accepted = {
            identity: (name, min(at, len(job.tasks))) for identity, (job, (name, at)) in kept.items() if job
        }

    def _on_decided(self, group: Any) -> None:
        self._cancelling.update(_cancelled(group))
        for record in group.records:
            if record.kind != "reported":
                continue
            indices = [index for start, stop in record.runs for index in range(start, stop)]
            for index in [*indices, *(second.index for second in record.again)]:
                newer = self._granted.get((group.job, index))
                if newer and newer > record.token:
                    self._find(f"task {group.job}.{index}: {record.token} was taken, but {newer} was out")

    # ------------------------------------------------------------ what leaves the master

    def _on_answered(self, message: Message, reply: Any, parts: Any, asked_at: float) -> None:
        if reply is None:
            return
        if message.verb == "fetch":
            self._fetched(message.request, reply, parts, asked_at)
        elif method := getattr(self, f"_answered_{message.verb}", None):
            method(message.request, reply, parts)

    def _answered_submit(self, request: Any, reply: Any, parts: Any) -> None:
        job = self.record.by_id.get(reply.job)
        if job is None:
            self._find(f"job {reply.number} was shown before it was committed")
            return
        mine = reply.job == request.job
        if reply.total > len(job.tasks) or (mine and request.ordinal >= job.next_ordinal):
            self._find(f"chunk {request.ordinal} of job {job.number} was answered before its commit")
        if reply.sealed and not job.sealed:
            self._find(f"job {job.number} was called sealed before that was committed")

    def _answered_lease(self, request: Any, reply: Any, parts: Any) -> None:
        for bundle, part in zip(reply.bundles, parts, strict=True):
            job = self.record.jobs.get(bundle.job)
            lines = part.split(b"\n")
            indices = [index for start, stop in bundle.runs for index in range(start, stop)]
            if job is None or max(indices) >= len(job.tasks):
                self._find(f"job {bundle.job}: tasks were leased before they were committed")
                return
            for index, line in zip(indices, lines, strict=True):
                self._lease(job, index, bundle.token, line)

    def _lease(self, job: JobRecord, index: int, token: Token, line: bytes) -> None:
        task, before = job.tasks[index], self._granted.get((job.number, index))
        if line != task.payload:
            self._find(f"task {job.number}.{index} went out with {line!r}")
        if index >= job.mark:
            self._find(f"task {job.number}.{index} was leased beyond the committed mark {job.mark}")
        if before and before != token and (task.floor is None or task.floor < token):
            self._find(f"task {job.number}.{index} was leased again under {token}, which is not committed")
        self._granted[job.number, index] = max(token, before or token)
        self._alone.grant(job.number, index, token)

    def _fetched(self, request: Any, reply: Any, parts: Any, asked_at: float) -> None:
        job = self.record.by_id.get(request.job)
        if job is None:
            self._find(f"job {request.job} was shown before it was committed")
            return
        # A retry may be committed while outcomes are read: what is told was so at some instant since it was asked.
        if reply.complete and not job.ended and self._complete_at.get(job.number, -math.inf) < asked_at:
            self._find(f"job {job.number} was called complete before it was")
        if reply.sequence > job.sequence:
            self._find(f"job {job.number}: {reply.sequence} rows were told of, there are {job.sequence}")
        if request.order == "arrival" and reply.cursor.position > job.sequence:
            self._find(f"job {job.number}: a cursor points at {reply.cursor.position}, beyond row {job.sequence}")
        for row, part in zip(reply.rows, parts, strict=True):
            lines: list[Any] = [None] * row.count if row.cancelled else part.split(b"\n")
            for (index, task), line in zip(job.within([(row.first, row.first + row.count)]), lines, strict=True):
                if line not in task.lines:
                    self._find(f"task {job.number}.{index}: an outcome was shown before its commit")

    def _view(self, job: JobRecord, view: Any) -> None:
        counts = {state: view.counts.get(state, 0) for state in ("succeeded", "failed", "cancelled")}
        if view.total > len(job.tasks) or any(number > job.count(state) for state, number in counts.items()):
            self._find(f"job {job.number}: counts {counts} of {view.total} were shown before their commit")
        if view.complete and not job.ended:
            self._find(f"job {job.number} was called complete before it was")
        if view.sealed and not job.sealed:
            self._find(f"job {job.number} was shown as sealed before that was committed")

    def _answered_report(self, request: Any, reply: Any, parts: Any) -> None:
        for report, answers in zip(request.reports, reply.reports, strict=True):
            job = self.record.jobs.get(report.job)
            for answer in answers:
                if answer.verdict not in {Verdict.TAKEN, Verdict.YOURS}:
                    continue
                for index, task in job.within(answer.runs) if job else [(-1, Task(b""))]:
                    if report.token not in task.reported:
                        self._find(f"task {report.job}.{index} was called {answer.verdict} before its commit")

    def _touched(self, request: Any, reply: Any, parts: Any) -> None:
        for touched in reply.touched:
            if job := self.record.by_id.get(touched.job.id):
                self._view(job, touched.job)

    _answered_cancel = _answered_retry = _touched

    # ------------------------------------------------------------ clients and workers

    def _on_accepted(self, name: str, identity: str, at: int) -> None:
        before = self._accepted.get(identity, (name, 0))[1]
        job = self.record.by_id.get(identity)
        if job or not self._rolled_back:
            self._accepted[identity] = (name, max(before, min(at, len(job.tasks)) if job and self._rolled_back else at))

    def _on_start(self, name: str) -> None:
        if name == "master":
            self.record.doubt()
            self._cancelling.clear()
        self._given[name, "arrival"] = Counter()
        self._given[name, "index"] = Counter()

    def _on_given(self, name: str, identity: str, order: str, index: int, line: bytes | None) -> None:
        given, payload = self._given[name, order], self._plans[name].items[index]
        given[index] += 1
        job = self.record.by_id.get(identity)
        openings = job.tasks[index].openings if job and index < len(job.tasks) else 0
        if given[index] > 1 + openings + self._undone[identity, index] and not (self._rolled_back and not job):
            self._find(f"{name} was given task {index} {given[index]} times by {order}")
        merged = line is not None and self._plans[name].reduce and (not line or line.startswith(MERGED_MARK))
        if line is not None and not merged and not line.startswith(FAILURE_MARK) and line != value_of(payload):
            self._find(f"{name} was given {line!r} for task {index}")

    def _on_merged(self, name: str, identity: str, indices: tuple[int, ...]) -> None:
        """Hold what a client has merged against what has succeeded."""
        if list(indices) != sorted(set(indices)):
            self._find(f"{name} counted a task twice, or merged out of order: {indices}")
        job = self.record.by_id.get(identity)
        succeeded = {at for at, task in enumerate(job.tasks) if task.state == "succeeded"} if job else set()
        missing = {at for at in succeeded - set(indices) if job and not job.tasks[at].openings}
        beyond = set(indices) - succeeded if not self._rolled_back else ()
        if missing or beyond:
            self._find(f"{name} merged {indices}, without {missing}, and with {beyond} that did not succeed")

    def _on_read(self, name: str, identity: str, order: str) -> None:
        job = self.record.by_id.get(identity)
        total = len(job.tasks) if job else 0
        missing = [index for index in range(total) if not self._given[name, order][index]]
        if missing:
            self._find(f"{name} was told that its job is complete, but never of tasks {missing} by {order}")

    def _on_gave_up(self, name: str, identity: str, why: str) -> None:
        if not self._rolled_back:
            self._find(f"{name} was turned away: {why}")

    def _on_began(self, name: str, job: int, index: int, token: Token, alone: bool) -> None:
        self._began[job, index] += 1

    def _on_tick(self, expired: tuple[Token, ...]) -> None:
        self._expired.update(expired)

    def _on_error(self, what: str) -> None:
        self._find(f"the master failed: {what}")

    def _on_unrest(self, who: str) -> None:
        self._find(f"not at rest long after all was mended: {who}")

    # ------------------------------------------------------------ the end

    def _judge_job(self, identity: str, plan: Plan, at: int) -> None:
        job = self.record.by_id.get(identity)
        if job is None or len(job.tasks) < at:
            self._find(f"{plan.name}: {at} tasks were accepted, and are not there")
            return
        for index, task in enumerate(job.tasks):
            if task.payload != plan.items[index]:
                self._find(f"task {job.number}.{index} is {task.payload!r}, not what was submitted")
            elif not task.state:
                self._find(f"task {job.number}.{index} was accepted and never ended")
            else:
                self._judge(job, index, task)

    def _judge(self, job: JobRecord, index: int, task: Task) -> None:
        """Hold a task's end against its nature."""
        nature, ended = json.loads(task.payload)[0], task.cause or task.state
        attempts = job.spec.options.max_attempts
        expected = {
            "good": {"succeeded"},
            "raises": {"error"},
            "flaky": {"succeeded", "error"} if attempts == 1 else {"succeeded"},
            "crashes": {"crash"},
            "missing": {"error"},
            "deadly": set(),
            "disaster": set(),
        }[nature]
        began = self._began[job.number, index]
        if nature in {"deadly", "disaster"} and began > _MOST_DEATHS * (1 + task.openings) and not self._rolled_back:
            self._find(f"task {job.number}.{index} took its host with it {began} times")
        if ended == "lost-worker" and self._may_be_charged(task):
            return
        if ended not in expected | {"cancelled"}:
            self._find(f"task {job.number}.{index}, which is {nature}, ended as {ended}")
        counted = {"error": attempts, "crash": _CRASHES}.get(ended)
        if counted is not None and task.again.count(ended) != counted - 1:
            self._find(f"task {job.number}.{index} failed at attempt {task.again.count(ended) + 1} of {counted}")

    def _may_be_charged(self, task: Task) -> bool:
        """Say whether a task may have failed for the loss of its workers: it had them to itself so often.

        One lease may count twice: a worker that was out of touch takes it up again, and is lost with it.
        What was in doubt after a start may count without having been seen to expire.
        """
        lost = sum(self._expired[token] for token in task.isolated) + task.doubts
        return self._rolled_back or lost >= _LOST_WORKERS


def _cancelled(group: Any) -> list[tuple[int, int]]:
    runs = [run for record in group.records if record.kind == "cancelled" for run in record.runs]
    return [(group.job, index) for start, stop in runs for index in range(start, stop)]


def _still_knows(before: Record, after: Record, number: int, index: int, token: Token) -> bool:
    """Say whether a rollback left a lease: its record, or the mark that stands for the first of a task."""
    then, now = before.jobs.get(number), after.jobs.get(number)
    if then is None or now is None or then.spec.id != now.spec.id or index >= len(now.tasks):
        return False
    if token in then.tasks[index].leased:
        return token in now.tasks[index].leased
    return index < now.mark
