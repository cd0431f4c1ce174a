"""What the disk says, read by somebody who trusts nobody: a naive model made of committed groups.

It knows none of the scheduler's code. Each group is applied as it becomes durable, and what a
correct master would never write is a finding: a second end of a task, a report under a token that
was superseded, a gap in the numbers, a value that is another task's.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from taskgrid.journal.protocol import Group
from taskgrid.model import FAILURE_MARK, MERGED_MARK, JobSpec, Run, Token, parse_failure

from .worker import value_of


@dataclass
class Task:
    """One task as its records tell it."""

    payload: bytes
    state: str = ""
    """How it ended; empty as long as it has not."""
    cause: str = ""
    line: bytes | None = None
    floor: Token | None = None
    """The least token that may report on it, from records."""
    lines: list[bytes | None] = field(default_factory=list)
    reported: set[Token] = field(default_factory=set)
    openings: int = 0
    leased: set[Token] = field(default_factory=set)
    """Its later leases."""
    isolated: list[Token] = field(default_factory=list)
    """Its leases in isolation, in this opening; the answer may never have left."""
    doubts: int = 0
    """Starts of a master that found it in such a lease."""
    again: list[str] = field(default_factory=list)
    """Causes of the attempts of this opening that left it another one."""


@dataclass
class JobRecord:
    """One job as its records tell it."""

    number: int
    spec: JobSpec
    tasks: list[Task] = field(default_factory=list)
    mark: int = 0
    next_record: int = 0
    next_ordinal: int = 0
    sequence: int = 0
    sealed: bool = False

    @property
    def ended(self) -> bool:
        """Say whether nothing more comes, and every task has ended."""
        return self.sealed and all(task.state for task in self.tasks)

    def count(self, state: str) -> int:
        """Return how many tasks ended so."""
        return sum(task.state == state for task in self.tasks)

    def within(self, runs: Any) -> list[tuple[int, Task]]:
        """Return the tasks of runs with their indices."""
        return [(index, self.tasks[index]) for start, stop in runs for index in range(start, stop)]


class Record:
    """All jobs as the disk has them."""

    def __init__(self) -> None:
        self.jobs: dict[int, JobRecord] = {}
        self.by_id: dict[str, JobRecord] = {}
        self.findings: list[str] = []

    def add(self, group: Group) -> None:
        """Apply what was committed."""
        first = group.records[0]
        if first.kind == "created":
            job = self.jobs[group.job] = JobRecord(group.job, first.spec)
            self.by_id[first.spec.id] = job
        job = self.jobs[group.job]
        if group.first_record != job.next_record:
            self._find(job, f"record {group.first_record} follows record {job.next_record - 1}")
        job.next_record = group.first_record + len(group.records)
        for record in group.records:
            getattr(self, f"_{record.kind}")(job, record, group)
        for row in group.outcomes:
            self._outcomes(job, row)

    def doubt(self) -> None:
        """Hear that a master starts: it knows of no lease but those that its records tell of."""
        for job in self.jobs.values():
            for task in job.tasks:
                task.doubts += not task.state and bool(task.isolated) and task.floor == task.isolated[-1]

    def openings(self) -> Counter[tuple[str, int]]:
        """Return how often each task was brought back."""
        tasks = ((job.spec.id, index, task) for job in self.jobs.values() for index, task in enumerate(job.tasks))
        return Counter({(identity, index): task.openings for identity, index, task in tasks if task.openings})

    def forget(self, number: int) -> None:
        """Drop a job."""
        job = self.jobs.pop(number, None)
        if job:
            self.by_id.pop(job.spec.id, None)

    def _find(self, job: JobRecord, what: str) -> None:
        self.findings.append(f"job {job.number}: {what}")

    # ------------------------------------------------------------ one kind of record each

    def _created(self, job: JobRecord, record: Any, group: Group) -> None:
        if job.next_record != len(group.records):
            self._find(job, "was created twice")

    def _accepted(self, job: JobRecord, record: Any, group: Group) -> None:
        if record.first != len(job.tasks) or record.ordinal != job.next_ordinal:
            self._find(job, f"chunk {record.ordinal} does not follow")
        job.next_ordinal = record.ordinal + 1
        if record.count:
            lines = group.chunks[0].lines.split(b"\n")
            job.tasks += [Task(line) for line in lines]

    def _sealed(self, job: JobRecord, record: Any, group: Group) -> None:
        job.sealed = True

    def _reopened(self, job: JobRecord, record: Any, group: Group) -> None:
        job.sealed = False

    def _marked(self, job: JobRecord, record: Any, group: Group) -> None:
        job.mark = record.mark

    def _declared(self, job: JobRecord, record: Any, group: Group) -> None:
        """Nothing follows for what may be committed."""

    def _leased(self, job: JobRecord, record: Any, group: Group) -> None:
        for index, task in job.within(record.runs):
            job.mark = max(job.mark, index + 1)
            if task.state:
                self._find(job, f"task {index} was leased after it had ended as {task.state}")
            if task.floor and record.token < task.floor:
                self._find(job, f"task {index} was leased under {record.token}, below {task.floor}")
            task.floor = record.token
            task.leased.add(record.token)
            task.isolated += [record.token] if record.isolated else []

    def _reported(self, job: JobRecord, record: Any, group: Group) -> None:
        failed = {index for index, _ in job.within(record.failed)}
        for index, task in job.within(record.runs):
            self._may_report(job, index, record.token)
            self._end(job, index, "failed" if index in failed else "succeeded")
            task.reported.add(record.token)
        for second in record.again:
            self._may_report(job, second.index, record.token)
            task = job.tasks[second.index]
            task.again.append("elsewhere" if second.not_on else second.cause.value)
            task.floor = record.token.next()
            task.reported.add(record.token)

    def _may_report(self, job: JobRecord, index: int, token: Token) -> None:
        task = job.tasks[index]
        if task.floor and token < task.floor:
            self._find(job, f"task {index} was committed under {token}, which {task.floor} had superseded")

    def _buried(self, job: JobRecord, record: Any, group: Group) -> None:
        self._end(job, record.index, "failed")

    def _cancelled(self, job: JobRecord, record: Any, group: Group) -> None:
        for index, _ in job.within(record.runs):
            self._end(job, index, "cancelled")

    def _retried(self, job: JobRecord, record: Any, group: Group) -> None:
        for index, task in job.within(record.runs):
            if task.state not in {"failed", "cancelled"}:
                self._find(job, f"task {index} was retried, but it had not failed")
            task.state, task.floor, task.again, task.isolated, task.doubts = "", record.floor, [], [], 0
            task.openings += 1

    def _end(self, job: JobRecord, index: int, state: str) -> None:
        task = job.tasks[index]
        if task.state:
            self._find(job, f"task {index} ended twice: {task.state}, then {state}")
        task.state = state

    def _outcomes(self, job: JobRecord, row: Any) -> None:
        job.sequence += 1
        if row.sequence != job.sequence:
            self._find(job, f"outcome row {row.sequence} follows row {job.sequence - 1}")
        lines: list[Any] = [None] * row.count if row.cancelled else row.lines.split(b"\n")
        run: Run = (row.first, row.first + row.count)
        merged_into = self._merged_into(job, row.first, lines)
        for (index, task), line in zip(job.within([run]), lines, strict=True):
            task.lines.append(line)
            task.line, task.cause = line, ""
            if line is not None and line.startswith(FAILURE_MARK):
                task.cause = parse_failure(line).cause.value
            elif line is not None and index not in merged_into and line != value_of(task.payload):
                self._find(job, f"task {index} has the value {line!r}")
            expected = "cancelled" if line is None else "failed" if task.cause else "succeeded"
            if expected != task.state:
                self._find(job, f"task {index} is {task.state}, but its outcome says {expected}")

    def _merged_into(self, job: JobRecord, first: int, lines: list[Any]) -> set[int]:
        """Return the tasks of a row whose values stand in a merged one, which must be all of its own."""
        found: set[int] = set()
        for index, line in enumerate(lines, first):
            if line and line.startswith(MERGED_MARK):
                tasks = json.loads(line[len(MERGED_MARK) :])
                beside = lines[index + 1 - first : index + len(tasks) - first]
                if tasks != list(range(index, index + len(tasks))) or beside != [b""] * (len(tasks) - 1):
                    self._find(job, f"task {index} has a merged value of {tasks}, of which {beside} follow")
                found.update(tasks)
        return found
