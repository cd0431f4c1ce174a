"""The protocol: every verb, its request, its reply, and who may say it.

Client, master and worker never import each other; they meet here. A message is a small JSON header
(one of these models) and raw byte parts. Payloads and outcomes travel in parts as JSON Lines
without a last newline, and the master never parses them.

Repeating any verb is harmless: `submit` carries job and ordinal, `lease` a nonce, `report` the
lease's token and a number; `extend`, `release` and the control verbs say what shall be so.

Unknown fields of a header are ignored, so that the next version can add some; an unknown verb is
refused by name.
"""

from taskgrid.model import Verdict
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
    Offer,
    Selector,
    SelectRequest,
    TasksReply,
    TasksRequest,
    Touched,
    TouchedReply,
    WorkersReply,
)
from taskgrid.transport.protocol.deferred import Deferred, Outcome
from taskgrid.transport.protocol.frame import (
    CUT,
    DEFAULT_PORT,
    MAX_FRAME,
    PROTOCOL_VERSIONS,
    Answer,
    Empty,
    Message,
    Parts,
    Peer,
    Role,
    Service,
)
from taskgrid.transport.protocol.results import (
    Cursor,
    FailedAttempt,
    FetchReply,
    FetchRequest,
    Judged,
    Order,
    OutcomeRun,
    PayloadsReply,
    PayloadsRequest,
    Report,
    ReportReply,
    ReportRequest,
)
from taskgrid.transport.protocol.tasks import (
    Bundle,
    Drop,
    ExtendReply,
    ExtendRequest,
    HeldLease,
    LeaseReply,
    LeaseRequest,
    Recheck,
    ReleaseRequest,
    SubmitReply,
    SubmitRequest,
)
from taskgrid.transport.protocol.verbs import CONTROL, RESULTS, TASKS, VERBS, Verb

__all__ = [
    "CONTROL",
    "CUT",
    "DEFAULT_PORT",
    "MAX_FRAME",
    "PROTOCOL_VERSIONS",
    "RESULTS",
    "TASKS",
    "VERBS",
    "Answer",
    "BackupReply",
    "BackupRequest",
    "Bundle",
    "Cursor",
    "Deferred",
    "Drop",
    "Empty",
    "EnlistReply",
    "EnlistRequest",
    "ExplainRequest",
    "ExtendReply",
    "ExtendRequest",
    "FailedAttempt",
    "FetchReply",
    "FetchRequest",
    "HealthReply",
    "HeldLease",
    "JobsReply",
    "Judged",
    "KeepReply",
    "KeepRequest",
    "LeaseReply",
    "LeaseRequest",
    "LeaveRequest",
    "Message",
    "Offer",
    "Order",
    "Outcome",
    "OutcomeRun",
    "Parts",
    "PayloadsReply",
    "PayloadsRequest",
    "Peer",
    "Recheck",
    "ReleaseRequest",
    "Report",
    "ReportReply",
    "ReportRequest",
    "Role",
    "SelectRequest",
    "Selector",
    "Service",
    "SubmitReply",
    "SubmitRequest",
    "TasksReply",
    "TasksRequest",
    "Touched",
    "TouchedReply",
    "Verb",
    "Verdict",
    "WorkersReply",
]
