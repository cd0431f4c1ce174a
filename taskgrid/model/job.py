"""What a client asks for: a job's function, its options, and whose code it means."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from taskgrid.model.ids import JobId


class Model(BaseModel):
    """A frozen model. Unknown fields are ignored: who wrote it may be newer."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_timedelta="float")


class Backoff(Model):
    """How long a task waits before its next attempt: `first`, doubled each time, up to `most`."""

    first: timedelta = timedelta(seconds=1)
    most: timedelta = timedelta(minutes=5)

    @model_validator(mode="after")
    def _most_is_not_less_than_first(self) -> Self:
        if self.most < self.first:
            raise ValueError(f"most ({self.most}) is less than first ({self.first})")
        return self

    def delay(self, attempts: int) -> float:
        """Return the seconds to wait after that many failed attempts (at least 1)."""
        return float(min(self.first.total_seconds() * 2.0 ** min(attempts - 1, 60), self.most.total_seconds()))


class TaskOptions(Model):
    """What `@task` says of a function, or one submission of it."""

    time_limit: timedelta | None = None
    """Wall time one attempt may take; its process tree is killed then. None: no limit."""
    memory_limit: Annotated[int, Field(gt=0)] | None = None
    """Resident bytes the task's process may use; it is killed beyond. None: no limit."""
    max_attempts: Annotated[int, Field(ge=1)] = 1
    """How often an attempt may end in an exception before the task fails."""
    backoff: Backoff = Backoff()
    """The wait between a failed attempt and the next."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Higher goes first."""
    alone: bool = False
    """At most one attempt may run at any time: a worker out of touch kills it at its margin."""

    def over(self, declared: Self) -> Self:
        """Return these options where they differ from the defaults, and else what the function declares."""
        said = {name: value for name, value in self if value != type(self).model_fields[name].default}
        return declared.model_copy(update=said)


class CodeVersion(Model):
    """Whose code a job means, or a worker offers."""

    version: str = ""
    """A hash over `sources`, or what `@task(version=...)` says. Empty: any code will do."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Short source hash by module, and version by installed package: to name what differs."""


class Reduce(Model):
    """How the values of a job's tasks become one."""

    how: str
    """`merge`, for values that have `merge(parts)` or `+`; or the name of a function of a sequence of values."""
    code: str = ""
    """Version of that function's code; empty: any, as for `merge`, which is the values' own."""


Place = Annotated[str, Field(max_length=4096)]
"""The absolute path of a folder."""


class JobSpec(Model):
    """One submission, all but its tasks."""

    id: JobId
    function: str
    """`module:qualname`."""
    through: str = ""
    """The calling convention that leads from payloads into the function and back, one that ships with TaskGrid.

    Empty: a payload holds the function's own arguments."""
    name: str = ""
    """What a person calls it; the function's name when empty."""
    options: TaskOptions = TaskOptions()
    code: CodeVersion = CodeVersion()
    reduce: Reduce | None = None
    """How values are merged, in workers too where they have whole merge blocks; None: each is a result of its own."""
    places: Annotated[tuple[Place, ...], Field(max_length=8)] = ()
    """Folders that its tasks read: a worker that does not see one of them gets none."""
    owner: str = ""
    """`user@host` of the client: shown, not proven."""
    key: str | None = None
    """The same key twice is one job."""
    client_grace: timedelta = timedelta(seconds=60)
    """How long an open job outlives its client's last sign of life before it is sealed."""
