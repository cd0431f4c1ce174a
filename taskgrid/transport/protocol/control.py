"""The control messages: workers enlist and leave, clients keep jobs open, people look and act."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from taskgrid.model import CodeVersion, JobId, JobNumber, JobView, Run, TaskOptions, TaskView, WorkerId, WorkerView
from taskgrid.transport.protocol.frame import Message

MOST_SELECTED: Final = 10_000
"""Selectors in one request."""
MOST_SHOWN: Final = 100_000
"""Jobs or tasks in one answer."""


class Offer(Message):
    """A function that a worker runs, and with what code."""

    function: str
    code: CodeVersion = CodeVersion()
    options: TaskOptions = TaskOptions()
    """What the function declares: holds where a submission says nothing else."""


class EnlistRequest(Message):
    """A worker says who it is; repeated when its offers or what it sees change, or the master was restarted."""

    worker: WorkerId
    name: str
    host: str
    pid: int
    slots: int
    version: str
    python: str
    offers: tuple[Offer, ...]
    draining: bool = False
    places: dict[str, str] | None = None
    """Folders that it looked at, each with why it does not see it; empty if it does. None: it can't be asked."""


class EnlistReply(Message):
    """How often to beat, and how long leases last."""

    ttl: float
    beat: float
    reconnect_grace: float


class LeaveRequest(Message):
    """A worker that holds nothing any more goes."""

    worker: WorkerId


class KeepRequest(Message):
    """A client's beat for its open jobs."""

    jobs: tuple[JobId, ...]


class KeepReply(Message):
    """Jobs that are not open any more (sealed, forgotten, unknown)."""

    closed: tuple[JobId, ...] = ()


class Selector(Message):
    """Which jobs or tasks a command is about; exactly one of `job`, `number`, `last`, `all`, `key`."""

    job: JobId | None = None
    number: JobNumber | None = None
    key: str | None = None
    last: bool = False
    all: bool = False
    runs: tuple[Run, ...] = ()
    """Only these tasks; empty: the whole job."""
    owner: str | None = None
    """Narrows `last` and `all` to an owner's own."""


class SelectRequest(Message):
    """A control verb over jobs: `jobs`, `cancel`, `retry`, `forget`."""

    selectors: tuple[Selector, ...] = Field(max_length=MOST_SELECTED)
    dry_run: bool = False
    """Say what would be touched, and touch nothing."""
    only_queued: bool = False
    """`cancel`: only tasks that no worker holds."""
    limit: int = Field(default=1000, ge=0, le=MOST_SHOWN)


class JobsReply(Message):
    """Jobs as they stand."""

    jobs: tuple[JobView, ...]


class Touched(Message):
    """What a bulk command did, or would do, to one job."""

    job: JobView
    tasks: int


class TouchedReply(Message):
    """One entry per job."""

    touched: tuple[Touched, ...]


class ExplainRequest(Message):
    """Why does this job or task wait, or how did it end?"""

    selector: Selector
    index: int | None = None


class TasksRequest(Message):
    """Tasks of one job as they stand, at most `limit`; empty `runs`: the job's failed ones."""

    job: JobId
    runs: tuple[Run, ...] = ()
    limit: int = Field(default=1000, ge=0, le=MOST_SHOWN)


class TasksReply(Message):
    """In order of index."""

    tasks: tuple[TaskView, ...]


class WorkersReply(Message):
    """Connected workers, and those lost within the last hour."""

    workers: tuple[WorkerView, ...]


class BackupRequest(Message):
    """Copy the journal to a new file on the master's machine; answered when it is whole."""

    target: str
    """A path; a relative one is beside the journal."""
    wait: float = 3600.0
    """Seconds the caller waits for it."""


class BackupReply(Message):
    """Where the copy is, and its bytes."""

    path: str
    size: int


class HealthReply(Message):
    """The master serves: it has journaled, or could, within the last seconds."""

    ok: bool
    version: str
    epoch: int
    why: str = ""
