"""The task queue's messages: chunks in, bundles out, beats, and what is given back."""

from __future__ import annotations

from pydantic import Field

from taskgrid.model import CodeVersion, JobId, JobNumber, JobSpec, Reduce, Run, TaskOptions, Token, WorkerId
from taskgrid.transport.protocol.frame import Message


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
    through: str = ""
    """The calling convention of the job, if it names one."""
    reduce: Reduce | None = None
    """How the values of whole merge blocks may be merged before they are reported."""
    alone: bool = False
    """The only task of its bundle because its forerunners crashed or vanished."""
    retries: int = 0
    """How often the job was retried: at each new count its worker goes on with the files as they are then."""

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
    look_at: tuple[str, ...] = ()
    """Folders that waiting jobs read: enlist again with whether this worker sees them."""


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
    look_at: tuple[str, ...] = ()
    """As in the answer to a lease request, and some of those named before, seen or not: that may have changed."""


class ReleaseRequest(Message):
    """Tasks that were not begun, or whose merged value could not be taken, given back at no cost."""

    worker: WorkerId
    leases: tuple[HeldLease, ...]
