"""The proxies: one typed method per verb, over a channel of their own.

Subclasses of the standard manager's proxy whose `_callmethod` goes through a `Channel` and whose
`_incref` does nothing: a proxy dials at its first call, and never at its making, its end, or a fork.
Calls on one proxy go one at a time; use one proxy for each concurrent activity.
"""

from __future__ import annotations

import time
import weakref
from multiprocessing.managers import BaseManager, BaseProxy, Token
from typing import Any, ClassVar, Final, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from taskgrid.errors import VersionMismatch
from taskgrid.functions.interrupts import let_interrupt_through
from taskgrid.model import Explanation, GridView
from taskgrid.model.job import Model
from taskgrid.transport.channel import Ask, Channel
from taskgrid.transport.limits import Limits
from taskgrid.transport.protocol import (
    CONTROL,
    RESULTS,
    TASKS,
    VERBS,
    BackupReply,
    BackupRequest,
    Empty,
    EnlistReply,
    EnlistRequest,
    ExplainRequest,
    ExtendReply,
    ExtendRequest,
    FetchReply,
    FetchRequest,
    HealthReply,
    JobsReply,
    KeepReply,
    KeepRequest,
    LeaseReply,
    LeaseRequest,
    LeaveRequest,
    Parts,
    PayloadsReply,
    PayloadsRequest,
    ReleaseRequest,
    ReportReply,
    ReportRequest,
    SelectRequest,
    SubmitReply,
    SubmitRequest,
    TasksReply,
    TasksRequest,
    TouchedReply,
    WorkersReply,
)
from taskgrid.transport.standard import SERIALIZER

NOTHING: Final = Empty()
"""The request of verbs that ask for nothing in particular."""

R = TypeVar("R", bound=Model)

_ANSWER: Final = Limits().answer
_LONG_POLLS: Final = frozenset(name for name, verb in VERBS.items() if "wait" in verb.request.model_fields)


def _verbs(queue: str) -> tuple[str, ...]:
    return tuple(name for name, verb in VERBS.items() if verb.queue == queue)


def prepared(verb: str, request: Any, parts: Parts = (), timeout: float | None = None) -> Ask:
    """Return a request to begin, or to call with; `timeout` bounds it from now on, in seconds."""
    try:
        body = type(request).__pydantic_serializer__.to_json(request)
    except PydanticSerializationError as error:
        let_interrupt_through(error)
        raise
    answer_within = request.wait + _ANSWER if verb in _LONG_POLLS else _ANSWER
    return Ask(verb, body, parts, answer_within, None if timeout is None else time.monotonic() + timeout)


class GridProxy(BaseProxy):
    """A queue of the master, as seen from elsewhere; `verbs` are its methods."""

    verbs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, typeid: str, channel: Channel, *, manager: BaseManager) -> None:
        super().__init__(Token(typeid, manager.address, typeid), SERIALIZER, manager=manager)
        self._channel = channel
        self._end = weakref.finalize(self, channel.close)  # a proxy that nobody holds leaves no socket behind
        self._where = manager.address

    @property
    def generation(self) -> int:
        """How many connections it has made; the master knows each only from its first request on."""
        return self._channel.generation

    def close(self) -> None:
        """End its connection for good, from any thread; a call that waits raises `ChannelClosed`."""
        self._end()

    def begin(self, ask: Ask) -> None:
        """Say a request now if that needs no wait; its verb's method, called with it, waits for the answer."""
        self._channel.begin(ask)

    def awaits(self, begun: Ask) -> bool:
        """Say whether a request that was begun has an answer to come."""
        return self._channel.awaits(begun)

    def take_back(self, begun: Ask | None) -> None:
        """Let go of a request that was begun and whose answer nobody will ask for."""
        if begun is not None:
            self._channel.take_back(begun)

    def _ask(
        self, reply: type[R], verb: str, request: Model | Ask, parts: Parts, timeout: float | None
    ) -> tuple[R, Parts]:
        body, received = self._callmethod(verb, (request, parts, timeout))
        try:
            return reply.__pydantic_validator__.validate_json(body), received
        except ValidationError as error:
            raise VersionMismatch(
                f"The master's answer to {verb} can't be read.",
                why=str(error).splitlines()[0],
                hint="Upgrade the older of the two; the master goes first.",
            ) from None

    def _callmethod(self, methodname: str, args: Any = (), kwds: Any = None) -> Any:  # noqa: ARG002  # the standard manager's signature
        request, parts, timeout = args
        ask = request if isinstance(request, Ask) else prepared(methodname, request, parts, timeout)
        return self._channel.call(ask)

    def _incref(self) -> None:
        """Count nothing: the master's queues outlive their proxies."""

    def _after_fork(self) -> None:
        """Dial nothing: the channel makes its own arrangements."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("a proxy stays in its process: make a GridManager where you need one")

    def __deepcopy__(self, memo: Any) -> NoReturn:
        self.__reduce__()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of the master at {self._where!r}>"

    __str__ = __repr__


class TaskQueue(GridProxy):
    """Where tasks are handed in and out."""

    verbs = _verbs(TASKS)

    def submit(
        self, request: SubmitRequest | Ask, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[SubmitReply, Parts]:
        """Hand over one chunk of a job, or one that was begun; it is in the journal when this returns."""
        return self._ask(SubmitReply, "submit", request, parts, timeout)

    def lease(
        self, request: LeaseRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[LeaseReply, Parts]:
        """Ask for work; answered at once or within `request.wait` seconds."""
        return self._ask(LeaseReply, "lease", request, parts, timeout)

    def extend(
        self, request: ExtendRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[ExtendReply, Parts]:
        """Say that the worker is alive and its leases go on."""
        return self._ask(ExtendReply, "extend", request, parts, timeout)

    def release(
        self, request: ReleaseRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[Empty, Parts]:
        """Give back tasks that were not begun."""
        return self._ask(Empty, "release", request, parts, timeout)


class ResultQueue(GridProxy):
    """Where outcomes are handed in and out."""

    verbs = _verbs(RESULTS)

    def report(
        self, request: ReportRequest | Ask, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[ReportReply, Parts]:
        """Hand over outcomes, or some that were begun; each range is judged."""
        return self._ask(ReportReply, "report", request, parts, timeout)

    def fetch(
        self, request: FetchRequest | Ask, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[FetchReply, Parts]:
        """Ask for outcomes after a cursor; answered when there are some or within `request.wait` seconds."""
        return self._ask(FetchReply, "fetch", request, parts, timeout)

    def payloads(
        self, request: PayloadsRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[PayloadsReply, Parts]:
        """Ask for the payloads of tasks."""
        return self._ask(PayloadsReply, "payloads", request, parts, timeout)


class Control(GridProxy):
    """Everything else: workers, jobs, and how the grid stands."""

    verbs = _verbs(CONTROL)

    def enlist(
        self, request: EnlistRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[EnlistReply, Parts]:
        """Say who this worker is and what it offers."""
        return self._ask(EnlistReply, "enlist", request, parts, timeout)

    def leave(self, request: LeaveRequest, parts: Parts = (), *, timeout: float | None = None) -> tuple[Empty, Parts]:
        """Say that this worker goes and holds nothing."""
        return self._ask(Empty, "leave", request, parts, timeout)

    def keep(self, request: KeepRequest, parts: Parts = (), *, timeout: float | None = None) -> tuple[KeepReply, Parts]:
        """Say that the client of these open jobs is alive."""
        return self._ask(KeepReply, "keep", request, parts, timeout)

    def jobs(
        self, request: SelectRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[JobsReply, Parts]:
        """Ask for jobs as they stand."""
        return self._ask(JobsReply, "jobs", request, parts, timeout)

    def tasks(
        self, request: TasksRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[TasksReply, Parts]:
        """Ask for tasks of one job as they stand."""
        return self._ask(TasksReply, "tasks", request, parts, timeout)

    def cancel(
        self, request: SelectRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[TouchedReply, Parts]:
        """Take jobs or tasks back."""
        return self._ask(TouchedReply, "cancel", request, parts, timeout)

    def retry(
        self, request: SelectRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[TouchedReply, Parts]:
        """Bring failed or cancelled tasks back."""
        return self._ask(TouchedReply, "retry", request, parts, timeout)

    def forget(
        self, request: SelectRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[TouchedReply, Parts]:
        """Let finished jobs go, with their results."""
        return self._ask(TouchedReply, "forget", request, parts, timeout)

    def explain(
        self, request: ExplainRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[Explanation, Parts]:
        """Ask why a job or task waits, or how it ended."""
        return self._ask(Explanation, "explain", request, parts, timeout)

    def workers(
        self, request: Empty = NOTHING, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[WorkersReply, Parts]:
        """Ask for the workers."""
        return self._ask(WorkersReply, "workers", request, parts, timeout)

    def status(
        self, request: Empty = NOTHING, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[GridView, Parts]:
        """Ask for the grid as a whole."""
        return self._ask(GridView, "status", request, parts, timeout)

    def backup(
        self, request: BackupRequest, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[BackupReply, Parts]:
        """Have the journal copied on the master's machine."""
        return self._ask(BackupReply, "backup", request, parts, timeout)

    def health(
        self, request: Empty = NOTHING, parts: Parts = (), *, timeout: float | None = None
    ) -> tuple[HealthReply, Parts]:
        """Ask whether the master serves."""
        return self._ask(HealthReply, "health", request, parts, timeout)
