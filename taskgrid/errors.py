"""Everything TaskGrid raises, as one tree.

    TaskGridError
    ├── UsageError            the call was wrong: bad argument, unknown option            exit 2
    │   ├── NotSerializable   a payload or a value is not JSON
    │   ├── TooLarge          a payload, a result, a frame over its limit
    │   └── FunctionRefused   not a module-level function, or typed at a prompt
    ├── Refused               the master understood and said no                           exit 2
    │   ├── UnknownJob        no such job: never was, or forgotten
    │   ├── ChunkRefused      a gap, a conflict, or a job that is sealed
    │   └── Busy              a limit was reached; later may work
    ├── MasterUnreachable     nobody answers, or no longer                                exit 3
    ├── NotLetIn              the key was refused, or its role may not do this            exit 4
    ├── VersionMismatch       the two ends share no protocol version                      exit 5
    ├── JournalError          the record can't be opened or trusted                       exit 6
    │   ├── JournalLocked     another master has it
    │   ├── JournalDamaged    bytes before the last commit are not what was written
    │   └── JournalTooNew     written by a newer TaskGrid
    ├── LedgerError           what a run over files remembers can't be opened or read      exit 6
    │   └── LedgerLocked      another run has it
    ├── OutputClaimed         another run over files writes to the same place              exit 6
    ├── FileError             a file can't be read as it was planned                       exit 1
    │   ├── FileChanged       it is another one by now, or was rewritten
    │   ├── FileDamaged       compressed bytes that are not what was written
    │   │   └── FileCutShort  it ends in the middle of them
    │   ├── RecordTooLong     no record ends where one should have
    │   ├── BadRecord         a record is not what a function can use
    │   └── OutputLost        what a task wrote is not where it was left
    ├── TooManyFailed         a run over files was stopped, as it was told to                exit 1
    └── TaskFailed            a task ended as failed; the result a caller gets instead    exit 1
        ├── TaskCrashed       its process died
        ├── TimeLimitExceeded
        ├── MemoryLimitExceeded
        └── WorkerLost        its host went away, again and again

Each carries a `code` (stable, for the wire and for scripts), an exit status, and three sentences:
what happened, why, and what to do next. What crosses the wire is rebuilt from the closed table
`BY_CODE`; an unknown code becomes a plain `TaskGridError`. This module knows nothing of the wire.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final


class TaskGridError(Exception):
    """Something TaskGrid can explain: `message` says what, `why` the cause, `hint` what to do next."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, why: str = "", hint: str = "", **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.hint = hint
        self.fields = fields

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.why, self.hint, self.fields))

    def __str__(self) -> str:
        return "\n".join(line for line in (self.message, self.why, self.hint) if line)


def _rebuild(kind: type[TaskGridError], message: str, why: str, hint: str, fields: dict[str, Any]) -> TaskGridError:
    return kind(message, why=why, hint=hint, **fields)


class UsageError(TaskGridError):
    """The call was wrong; nothing was done."""

    code = "usage"
    exit_status = 2


class NotSerializable(UsageError):
    """A payload or a value can't be written as JSON."""

    code = "not-serializable"


class TooLarge(UsageError):
    """A payload, a result or a frame is over its limit: write it to shared storage and pass its path."""

    code = "too-large"


class FunctionRefused(UsageError):
    """The function can't be named `module:qualname`, or no worker could import it."""

    code = "function-refused"


class Refused(TaskGridError):
    """The master understood the request and said no."""

    code = "refused"
    exit_status = 2


class UnknownJob(Refused):
    """There is no such job: it never was, or it was forgotten."""

    code = "unknown-job"


class ChunkRefused(Refused):
    """A chunk leaves a gap, differs from what was accepted under its ordinal, or the job is sealed."""

    code = "chunk-refused"


class Busy(Refused):
    """A limit of the master was reached; the same request may work later."""

    code = "busy"


class MasterUnreachable(TaskGridError):
    """Nobody answers at the master's address, or no longer."""

    code = "unreachable"
    exit_status = 3


class NotLetIn(TaskGridError):
    """The key was refused, or its role may not do this."""

    code = "not-let-in"
    exit_status = 4


class VersionMismatch(TaskGridError):
    """The two ends share no version of the protocol."""

    code = "version"
    exit_status = 5


class JournalError(TaskGridError):
    """The journal can't be opened, written or trusted."""

    code = "journal"
    exit_status = 6


class JournalLocked(JournalError):
    """Another master has this journal open."""

    code = "journal-locked"


class JournalDamaged(JournalError):
    """Bytes before the last commit are not what was written."""

    code = "journal-damaged"


class JournalTooNew(JournalError):
    """The journal was written by a newer TaskGrid."""

    code = "journal-too-new"


class LedgerError(TaskGridError):
    """The ledger of a run over files can't be opened, written or trusted."""

    code = "ledger"
    exit_status = 6


class LedgerLocked(LedgerError):
    """Another run has this ledger open; the fields `host`, `pid` and `since` say which."""

    code = "ledger-locked"


class OutputClaimed(TaskGridError):
    """Another run over files writes there, or may go on to; the fields `host`, `pid` and `since` say which."""

    code = "output-claimed"
    exit_status = 6


class FileError(TaskGridError):
    """A file can't be read as it was planned; its records so far were right."""

    code = "file"


class FileChanged(FileError):
    """A file is not the one that was planned, or it was rewritten while it was read."""

    code = "file-changed"


class FileDamaged(FileError):
    """A compressed file's bytes are not what was written; the field `offset` says from which stored byte on."""

    code = "file-damaged"


class FileCutShort(FileDamaged):
    """A compressed file ends in the middle of its data; what could be read before was given out."""

    code = "file-cut-short"


class RecordTooLong(FileError):
    """A record has no end within what memory may hold."""

    code = "record-too-long"


class BadRecord(FileError):
    """A function can't use a record, and nobody said that such may be left out."""

    code = "bad-record"


class OutputLost(FileError):
    """What a task wrote, and was committed, is neither under its name nor where it was written."""

    code = "output-lost"


class TooManyFailed(TaskGridError):
    """More files of a run failed than it was told to bear; what was done is kept."""

    code = "too-many-failed"


class TaskFailed(TaskGridError):
    """A task ended as failed.

    `type`, `message` and `traceback` are those of the remote exception; `task` is its address
    (`17.42`), `cause` one of `taskgrid.model.Cause`.
    """

    code = "task-failed"

    def __init__(self, message: str, *, why: str = "", hint: str = "", **fields: Any) -> None:
        super().__init__(message, why=why, hint=hint, **fields)
        self.type: str = fields.get("type", "")
        self.traceback: str = fields.get("traceback", "")
        self.task: str = fields.get("task", "")
        self.cause: str = fields.get("cause", "")


class TaskCrashed(TaskFailed):
    """The task's process died: it exited, or a signal killed it."""

    code = "task-crashed"


class TimeLimitExceeded(TaskFailed):
    """The task ran longer than its time limit and was killed."""

    code = "time-limit"


class MemoryLimitExceeded(TaskFailed):
    """The task's process went over its memory limit and was killed."""

    code = "memory-limit"


class WorkerLost(TaskFailed):
    """The workers that ran the task went away, each time while they held nothing else."""

    code = "worker-lost"


def _tree(kind: type[TaskGridError]) -> list[type[TaskGridError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _tree(child))]


BY_CODE: Final[dict[str, type[TaskGridError]]] = {kind.code: kind for kind in _tree(TaskGridError)}
"""The closed table from which errors are rebuilt at the other end of a connection."""
