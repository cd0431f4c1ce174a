"""What the journal keeps of a job, one record per decision; replaying them rebuilds its state.

Every record belongs to one job and has a dense number there. A record never holds payloads or
values: those lie beside the records, so that replay need not read them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from taskgrid.model.ids import JobNumber, Run, Token
from taskgrid.model.job import JobSpec, Model
from taskgrid.model.outcome import Cause


class Created(Model):
    """A client opened the job: its first record."""

    kind: Literal["created"] = "created"
    number: JobNumber
    spec: JobSpec
    at: float


class Accepted(Model):
    """A chunk of `count` tasks was accepted; the first of them is task `first`."""

    kind: Literal["accepted"] = "accepted"
    ordinal: int
    first: int
    count: int


class Sealed(Model):
    """No more chunks: the client said so, or it was away for its grace (`abandoned`)."""

    kind: Literal["sealed"] = "sealed"
    abandoned: bool = False
    at: float


class Reopened(Model):
    """A submission with the job's key goes on where an abandoned one ended."""

    kind: Literal["reopened"] = "reopened"
    at: float


class Marked(Model):
    """No task from `mark` on was ever leased: written ahead of first leases, in large steps."""

    kind: Literal["marked"] = "marked"
    mark: int
    epoch: int = 0
    """The master's start that wrote it: no token of before can be of a first lease that it let out."""


class Declared(Model):
    """A worker that gets tasks declares their function `alone`, which the job does not: said before it has them."""

    kind: Literal["declared"] = "declared"


class Leased(Model):
    """Tasks that were leased before are leased again; `token` becomes their floor."""

    kind: Literal["leased"] = "leased"
    token: Token
    runs: tuple[Run, ...]
    alone: bool = False
    """A suspect, alone in its bundle."""
    isolated: bool = False
    """Its worker holds and gets nothing else: if that is lost, this task is charged."""
    worker: str = ""
    """Who that is, if it is isolated: one that is back after a restart was not lost."""
    tries: tuple[tuple[int, int, int], ...] = ()
    """(task, attempts that ended, of these charged to a lost worker) where there were any."""


class SecondTry(Model):
    """A failed attempt that left the task another one, inside `Reported`."""

    index: int
    cause: Cause
    due_at: float
    """Grid time; 0: at once."""
    summary: str = ""
    not_on: str = ""
    """A host: the attempt was not counted, since another host may see what this one did not."""


class Reported(Model):
    """A worker's report, as far as it was taken.

    `runs` ended, each as one outcome row numbered from `first_sequence`; of these `failed` ended as
    failed and the others succeeded. Those in `again` did not end.
    """

    kind: Literal["reported"] = "reported"
    token: Token
    number: int
    runs: tuple[Run, ...] = ()
    failed: tuple[Run, ...] = ()
    first_sequence: int
    again: tuple[SecondTry, ...] = ()
    at: float


class Buried(Model):
    """The master ended a task itself: a worker that it had to itself was lost, once too often."""

    kind: Literal["buried"] = "buried"
    index: int
    first_sequence: int
    at: float


class Cancelled(Model):
    """Tasks were taken back; each run is one outcome row numbered from `first_sequence`."""

    kind: Literal["cancelled"] = "cancelled"
    runs: tuple[Run, ...]
    first_sequence: int
    at: float


class Retried(Model):
    """An operator brought ended tasks back; `floor` refuses every report of before."""

    kind: Literal["retried"] = "retried"
    runs: tuple[Run, ...]
    floor: Token
    at: float


Record = Annotated[
    Created | Accepted | Sealed | Reopened | Marked | Declared | Leased | Reported | Buried | Cancelled | Retried,
    Field(discriminator="kind"),
]

RECORD: TypeAdapter[Record] = TypeAdapter(Record)
