"""What things are: the frozen models that client, master and worker all speak of.

Nothing here does anything. The room knows `lifecycle` and pydantic, and nothing of wires, disks or
processes. See `docs/glossary.md` for the words.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from taskgrid.model.ids import Epoch, JobId, JobNumber, Run, Token, WorkerId, new_id
from taskgrid.model.job import Backoff, CodeVersion, JobSpec, Reduce, TaskOptions
from taskgrid.model.outcome import (
    FAILURE_MARK,
    MERGE_BLOCK,
    MERGED_MARK,
    Cause,
    Failure,
    Verdict,
    failure_line,
    parse_failure,
)
from taskgrid.model.task import Descriptor

if TYPE_CHECKING:
    from taskgrid.model.record import (
        Accepted,
        Buried,
        Cancelled,
        Created,
        Declared,
        Leased,
        Marked,
        Record,
        Reopened,
        Reported,
        Retried,
        Sealed,
        SecondTry,
    )
    from taskgrid.model.view import Explanation, GridView, JobView, LimitView, Reason, TaskView, WorkerView

__all__ = [
    "FAILURE_MARK",
    "MERGED_MARK",
    "MERGE_BLOCK",
    "Accepted",
    "Backoff",
    "Buried",
    "Cancelled",
    "Cause",
    "CodeVersion",
    "Created",
    "Declared",
    "Descriptor",
    "Epoch",
    "Explanation",
    "Failure",
    "GridView",
    "JobId",
    "JobNumber",
    "JobSpec",
    "JobView",
    "Leased",
    "LimitView",
    "Marked",
    "Reason",
    "Record",
    "Reduce",
    "Reopened",
    "Reported",
    "Retried",
    "Run",
    "Sealed",
    "SecondTry",
    "TaskOptions",
    "TaskView",
    "Token",
    "Verdict",
    "WorkerId",
    "WorkerView",
    "failure_line",
    "new_id",
    "parse_failure",
]

_HOMES = {
    "Accepted": "record",
    "Buried": "record",
    "Cancelled": "record",
    "Created": "record",
    "Declared": "record",
    "Leased": "record",
    "Marked": "record",
    "Record": "record",
    "Reopened": "record",
    "Reported": "record",
    "Retried": "record",
    "Sealed": "record",
    "SecondTry": "record",
    "Explanation": "view",
    "GridView": "view",
    "JobView": "view",
    "LimitView": "view",
    "Reason": "view",
    "TaskView": "view",
    "WorkerView": "view",
}
"""What a task process never needs is imported when it is asked for: making its models takes long."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'taskgrid.model' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"taskgrid.model.{_HOMES[name]}"), name)
    return found
