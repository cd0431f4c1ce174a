"""What the master shows of itself: answers to `status`, `jobs`, `workers` and `explain`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from taskgrid.lifecycle import TaskState
from taskgrid.model.ids import JobNumber, Run, WorkerId
from taskgrid.model.job import Model, TaskOptions


class JobView(Model):
    """A job as it stands."""

    id: str
    number: JobNumber
    function: str
    name: str
    owner: str
    key: str | None = None
    options: TaskOptions = TaskOptions()
    reduce: str = ""
    """How its values are merged: `merge`, or a function's name; empty if they are not."""
    created_at: float
    """Grid time, seconds since the epoch; likewise the other instants."""
    ended_at: float | None = None
    sealed: bool
    abandoned: bool = False
    """Sealed by the master because its client was away."""
    complete: bool
    """Sealed, and every task has ended."""
    counts: dict[TaskState, int]
    """Tasks by state; states without a task are left out."""
    total: int
    sequence: int = 0
    """Outcome rows committed so far."""
    refused_reports: int = 0
    """Outcomes refused because their token was superseded."""
    task_seconds: float | None = None
    """A high quantile of the durations seen so far; None before the first."""


class WorkerView(Model):
    """A worker as the master knows it."""

    id: WorkerId
    name: str
    host: str
    slots: int
    pid: int
    version: str
    python: str
    functions: tuple[str, ...]
    connected: bool
    seen_at: float
    since: float
    lost_at: float | None = None
    holds: dict[int, tuple[Run, ...]] = Field(default_factory=dict)
    """Runs of tasks by job that it holds, or held when it was lost."""
    draining: bool = False
    suspected: tuple[JobNumber, ...] = ()
    """Jobs whose tasks fail on this worker while they succeed on others."""
    done: int = 0
    """Attempts it has reported."""


class LimitView(Model):
    """One of the master's limits: how much of it is used, and how often it was reached."""

    setting: str
    """Which setting raises it."""
    most: int | None = None
    """The limit: a number, bytes or seconds; None where it is not the master's own."""
    used: int | None = None
    """How much of it is in use; None where there is nothing to add up."""
    reached: int = 0
    """Refusals since this start; of a retention, jobs that were forgotten."""


class GridView(Model):
    """The whole grid on one screen."""

    version: str
    started_at: float
    now: float
    epoch: int
    durability: str
    journal: str
    queued: int
    leased: int
    delayed: int
    jobs: int
    open_jobs: int
    workers: int
    slots: int
    busy: int
    """Slots whose bundles are out."""
    rate: float
    """Tasks that ended per second, over the last seconds."""
    ended: int = 0
    """Tasks that ended since this start."""
    limits: tuple[LimitView, ...] = ()
    notes: tuple[str, ...] = ()
    """What needs attention, a sentence each."""


class TaskView(Model):
    """One task as it stands."""

    job: JobNumber
    index: int
    state: TaskState
    attempts: int
    """Attempts begun so far, as far as the master must know; at least 1 once leased."""
    due_at: float | None = None
    worker: str = ""
    history: tuple[str, ...] = ()
    """Earlier attempts, a line each."""


class Reason(StrEnum):
    """Why a job or a task is not running."""

    ENDED = "ended"
    RUNNING = "running"
    NO_WORKER = "no-worker"
    NOT_OFFERED = "not-offered"
    OTHER_CODE = "other-code"
    NOT_SEEN = "not-seen"
    SLOTS_BUSY = "slots-busy"
    DELAYED = "delayed"
    IN_DOUBT = "in-doubt"
    OPEN_EMPTY = "open-empty"
    JOURNAL_FULL = "journal-full"


class Explanation(Model):
    """The answer to `explain`: a reason, a sentence, and what to do about it."""

    reason: Reason
    what: str
    why: str = ""
    hint: str = ""
    job: JobView
    task: TaskView | None = None
