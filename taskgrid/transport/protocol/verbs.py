"""The verb table: every verb, its queue, its messages, and who may say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from taskgrid.model import Explanation, GridView
from taskgrid.model.job import Model
from taskgrid.transport.protocol.control import (
    BackupReply,
    BackupRequest,
    EnlistReply,
    EnlistRequest,
    ExplainRequest,
    HealthReply,
    JobsReply,
    KeepReply,
    KeepRequest,
    LeaveRequest,
    SelectRequest,
    TasksReply,
    TasksRequest,
    TouchedReply,
    WorkersReply,
)
from taskgrid.transport.protocol.frame import Empty, Role
from taskgrid.transport.protocol.results import (
    FetchReply,
    FetchRequest,
    PayloadsReply,
    PayloadsRequest,
    ReportReply,
    ReportRequest,
)
from taskgrid.transport.protocol.tasks import (
    ExtendReply,
    ExtendRequest,
    LeaseReply,
    LeaseRequest,
    ReleaseRequest,
    SubmitReply,
    SubmitRequest,
)


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

_OPERATOR: Final = frozenset({Role.OPERATOR})

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
    "backup": Verb(CONTROL, BackupRequest, BackupReply, _OPERATOR),
    "health": Verb(CONTROL, Empty, HealthReply, _ANYONE),
}
