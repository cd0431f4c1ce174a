"""The protocol: every verb, its request, its reply, and who may say it.

Client, master and worker never import each other; they meet here. A message is a small JSON header
(one of these models) and raw byte parts. Payloads and outcomes travel in parts as JSON Lines
without a last newline, and the master never parses them.

Repeating any verb is harmless: `submit` carries job and ordinal, `lease` a nonce, `report` the
lease's token and a number; `extend`, `release` and the control verbs say what shall be so.

Unknown fields of a header are ignored, so that the next version can add some; an unknown verb is
refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from pydantic import Field

from taskgrid.model import (
    Cause,
    CodeVersion,
    Explanation,
    GridView,
    JobId,
    JobNumber,
    JobSpec,
    JobView,
    Run,
    TaskOptions,
    TaskView,
    Token,
    Verdict,
    WorkerId,
    WorkerView,
)
from taskgrid.model.job import Model

PROTOCOL_VERSIONS: Final = (1,)
"""What this TaskGrid speaks, best first."""

MAX_FRAME: Final = 8 << 20
"""Bytes: the largest frame either end accepts."""

CUT: Final = 1 << 20
"""Bytes: chunks, bundles and reports are cut here, or at one item."""

DEFAULT_PORT: Final = 7117


class Message(Model):
    """A header."""


class Role(StrEnum):
    """What the holder of a key may do."""

    CLIENT = "client"  # submit, see and cancel jobs
    WORKER = "worker"  # take tasks and report on them
    OPERATOR = "operator"  # both, and everything else


class Empty(Message):
    """Nothing to say but yes."""


# ---------------------------------------------------------------- the task queue


class SubmitRequest(Message):
    """One chunk of a job; part 0 holds its `count` payloads. An empty chunk has no part."""

    job: JobId
    ordinal: int = Field(ge=0)
    count: int = Field(ge=0)
    spec: JobSpec | None = None
    """Required with ordinal 0, and ignored else."""
    seal: bool = False
    """This is the job's last chunk."""


class SubmitReply(Message):
    """The chunk is in the journal."""

    job: JobId
    """Another job than the request's when its key already names one: nothing was added, go on with that."""
    number: JobNumber
    first: int
    """The chunk's first task."""
    total: int
    """Tasks accepted so far."""
    sealed: bool


class LeaseRequest(Message):
    """A worker asks for work: `bundles` at most, for one slot each. Answered at once or within `wait` seconds."""

    worker: WorkerId
    nonce: str
    """The same nonce is answered with the same leases."""
    bundles: int = Field(ge=1)
    wait: float = 20.0
    idle: int = 0
    """Slots with nothing to do; the rest of `bundles` is prefetch."""


class Bundle(Message):
    """What one lease covers. Its payloads are one part of the reply, a line per task, in order of `runs`."""

    token: Token
    job: JobNumber
    function: str
    runs: tuple[Run, ...]
    options: TaskOptions
    code: str = ""
    """Version of the code that the job means; empty: any."""
    attempts: tuple[tuple[int, int], ...] = ()
    """(task, attempt) where the attempt isn't the first."""
    alone: bool = False
    """The only task of its bundle because its forerunners crashed or vanished."""

    @property
    def count(self) -> int:
        """How many tasks it covers."""
        return sum(stop - start for start, stop in self.runs)


class Recheck(Message):
    """A job waits for code that this worker doesn't offer: look at the files again."""

    function: str
    code: CodeVersion


class LeaseReply(Message):
    """Leases, and how long they last; part *i* holds the payloads of bundle *i*."""

    known: bool = True
    """False: the master doesn't know this worker (it was restarted): enlist again, extend, then ask."""
    bundles: tuple[Bundle, ...] = ()
    ttl: float
    """Seconds a lease lasts from the moment it was asked for, unless extended."""
    recheck: tuple[Recheck, ...] = ()


class HeldLease(Message):
    """A lease as its worker holds it."""

    token: Token
    job: JobNumber
    runs: tuple[Run, ...]
    """What is neither reported and answered nor released."""


class ExtendRequest(Message):
    """The beat: "I am alive, these leases go on". Also how a worker takes its leases up after a reconnect."""

    worker: WorkerId
    leases: tuple[HeldLease, ...] = ()


class Drop(Message):
    """Runs of a lease that are no longer the worker's: it kills what runs of them and forgets them."""

    token: Token
    runs: tuple[Run, ...]
    cancelled: bool = False


class ExtendReply(Message):
    """What goes on and what doesn't; leases not named in `drop` go on for `ttl` seconds."""

    known: bool = True
    """False: the master doesn't know this worker (it was restarted): enlist again, then extend."""
    ttl: float
    drop: tuple[Drop, ...] = ()
    drain: bool = False
    recheck: tuple[Recheck, ...] = ()


class ReleaseRequest(Message):
    """Tasks that were not begun, given back at no cost."""

    worker: WorkerId
    leases: tuple[HeldLease, ...]


# ---------------------------------------------------------------- the result queue


class FailedAttempt(Message):
    """One line of a report is a failure: what the master must know to decide what follows."""

    index: int
    cause: Cause
    type: str = ""
    summary: str = ""


class Report(Message):
    """Outcomes under one lease, whole or part of its bundle; its part holds a line per task, in order of `runs`."""

    token: Token
    number: int
    """Grows with each report of the lease, from 1."""
    job: JobNumber
    runs: tuple[Run, ...]
    failures: tuple[FailedAttempt, ...] = ()
    """In order of index; all other tasks of `runs` succeeded."""
    seconds: float = 0.0
    """Slot time it took."""
    durations: tuple[tuple[int, int], ...] = ()
    """(b, n): n attempts that succeeded took between 2**b and 2**(b+1) microseconds (b = 0 includes less)."""


class ReportRequest(Message):
    """Part *i* belongs to report *i*."""

    worker: WorkerId
    reports: tuple[Report, ...]


class Judged(Message):
    """One run of a report and its verdict."""

    runs: tuple[Run, ...]
    verdict: Verdict


class ReportReply(Message):
    """`reports[i]` answers report *i*: its runs, each judged once."""

    reports: tuple[tuple[Judged, ...], ...]


class Order(StrEnum):
    """In which order a client fetches."""

    ARRIVAL = "arrival"  # as outcomes came
    INDEX = "index"  # by task


class Cursor(Message):
    """Where a client stands: after outcome `position` (by arrival), or at task `position` (by index)."""

    epoch: int = 0
    position: int = 0


class FetchRequest(Message):
    """Ask for what comes after the cursor; answered when there is some, when the job is complete, or after `wait`."""

    job: JobId
    order: Order
    cursor: Cursor = Cursor()
    wait: float = 20.0
    limit: int = CUT
    """Bytes of outcome lines, at least one row."""


class OutcomeRun(Message):
    """Consecutive tasks that ended; its part holds a line each, unless they were cancelled."""

    first: int
    count: int
    cancelled: bool = False


class FetchReply(Message):
    """Part *i* belongs to outcome run *i* (empty if cancelled)."""

    rows: tuple[OutcomeRun, ...] = ()
    cursor: Cursor
    """Where to go on; it may lie behind the request's when the journal's end does."""
    job: JobView


class PayloadsRequest(Message):
    """Ask for the payloads of tasks, to show them beside their results."""

    job: JobId
    run: Run


class PayloadsReply(Message):
    """Part 0 holds the lines from `run[0]` on; `run` may end earlier than asked."""

    run: Run


# ---------------------------------------------------------------- control


class Offer(Message):
    """A function that a worker runs, and with what code."""

    function: str
    code: CodeVersion = CodeVersion()


class EnlistRequest(Message):
    """A worker says who it is; repeated when its offers change or the master was restarted."""

    worker: WorkerId
    name: str
    host: str
    pid: int
    slots: int
    version: str
    python: str
    offers: tuple[Offer, ...]
    draining: bool = False


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

    selectors: tuple[Selector, ...]
    dry_run: bool = False
    """Say what would be touched, and touch nothing."""
    only_queued: bool = False
    """`cancel`: only tasks that no worker holds."""
    limit: int = 1000


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
    limit: int = 1000


class TasksReply(Message):
    """In order of index."""

    tasks: tuple[TaskView, ...]


class WorkersReply(Message):
    """Connected workers, and those lost within the last hour."""

    workers: tuple[WorkerView, ...]


class HealthReply(Message):
    """The master serves: it has journaled, or could, within the last seconds."""

    ok: bool
    version: str
    epoch: int
    why: str = ""


# ---------------------------------------------------------------- the table


class Verb(NamedTuple):
    """A verb's queue, its messages, and who may say it (an operator may say all)."""

    queue: str
    request: type[Model]
    reply: type[Model]
    roles: frozenset[Role]


TASKS: Final = "get_task_queue"
RESULTS: Final = "get_result_queue"
CONTROL: Final = "get_control"

_CLIENT: Final = frozenset({Role.CLIENT})
_WORKER: Final = frozenset({Role.WORKER})
_ANYONE: Final = frozenset(Role)

VERBS: Final[Mapping[str, Verb]] = {
    "submit": Verb(TASKS, SubmitRequest, SubmitReply, _CLIENT),
    "lease": Verb(TASKS, LeaseRequest, LeaseReply, _WORKER),
    "extend": Verb(TASKS, ExtendRequest, ExtendReply, _WORKER),
    "release": Verb(TASKS, ReleaseRequest, Empty, _WORKER),
    "report": Verb(RESULTS, ReportRequest, ReportReply, _WORKER),
    "fetch": Verb(RESULTS, FetchRequest, FetchReply, _CLIENT),
    "payloads": Verb(RESULTS, PayloadsRequest, PayloadsReply, _CLIENT),
    "enlist": Verb(CONTROL, EnlistRequest, EnlistReply, _WORKER),
    "leave": Verb(CONTROL, LeaveRequest, Empty, _WORKER),
    "keep": Verb(CONTROL, KeepRequest, KeepReply, _CLIENT),
    "jobs": Verb(CONTROL, SelectRequest, JobsReply, _CLIENT),
    "tasks": Verb(CONTROL, TasksRequest, TasksReply, _CLIENT),
    "cancel": Verb(CONTROL, SelectRequest, TouchedReply, _CLIENT),
    "retry": Verb(CONTROL, SelectRequest, TouchedReply, _CLIENT),
    "forget": Verb(CONTROL, SelectRequest, TouchedReply, _CLIENT),
    "explain": Verb(CONTROL, ExplainRequest, Explanation, _CLIENT),
    "workers": Verb(CONTROL, Empty, WorkersReply, _ANYONE),
    "status": Verb(CONTROL, Empty, GridView, _ANYONE),
    "health": Verb(CONTROL, Empty, HealthReply, _ANYONE),
}


class Peer(NamedTuple):
    """Who is at the other end of a connection, as a service may know it."""

    address: str
    roles: frozenset[Role]
    connection: int
    """Unique among the connections of this master's life."""


Parts = tuple[bytes, ...]


class Service(Protocol):
    """What the server calls: one method per verb, named as the verb, and a word when a connection ends.

    A method is `verb(peer, request, parts) -> (reply, parts)` and may block (a long poll) for as
    long as its request allows. It raises `TaskGridError` to refuse.
    """

    def disconnected(self, peer: Peer) -> None:
        """Hear that a connection is gone; called once per connection, from its own thread."""
