"""What things are: the frozen models that client, master and worker all speak of.

Nothing here does anything. The room knows `lifecycle` and pydantic, and nothing of wires, disks or
processes. See `docs/glossary.md` for the words.
"""

from taskgrid.model.ids import Epoch, JobId, JobNumber, Run, Token, WorkerId, new_id
from taskgrid.model.job import Backoff, CodeVersion, JobSpec, TaskOptions
from taskgrid.model.outcome import FAILURE_MARK, Cause, Failure, Verdict, failure_line, parse_failure
from taskgrid.model.record import (
    Accepted,
    Buried,
    Cancelled,
    Created,
    Leased,
    Marked,
    Record,
    Reopened,
    Reported,
    Retried,
    Sealed,
    SecondTry,
)
from taskgrid.model.task import Descriptor
from taskgrid.model.view import Explanation, GridView, JobView, Reason, TaskView, WorkerView

__all__ = [
    "FAILURE_MARK",
    "Accepted",
    "Backoff",
    "Buried",
    "Cancelled",
    "Cause",
    "CodeVersion",
    "Created",
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
    "Marked",
    "Reason",
    "Record",
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
