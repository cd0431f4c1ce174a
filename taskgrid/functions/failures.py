"""Failures, both ways: from an exception in a task to what travels, and back to an exception.

Nothing that travels is executed: only exceptions of Python itself come back as themselves, made anew
from their message; any other comes back as `TaskFailed` with its type, message and traceback as text.
"""

from __future__ import annotations

import ast
import builtins
import os
import re
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

from taskgrid import errors
from taskgrid.model.outcome import Cause, Failure

MAX_TEXT: Final = 16 << 10
"""Characters of a message or a traceback that travel."""
_HERE: Final = Path(__file__).parent
_OWN: Final = (
    *(str(folder) + os.sep for folder in (_HERE, Path(os.__file__).parent / "asyncio")),
    str(_HERE.parent / "files" / "calling.py"),
)
"""Where frames are none of the user's: ours, and the standard library's that runs coroutines."""
_ENDED: Final[dict[Cause, type[errors.TaskFailed]]] = {
    Cause.CRASH: errors.TaskCrashed,
    Cause.TIME_LIMIT: errors.TimeLimitExceeded,
    Cause.MEMORY: errors.MemoryLimitExceeded,
    Cause.LOST_WORKER: errors.WorkerLost,
}
_ERRNO: Final = re.compile(r"\[Errno (\d+)\] (.*?)(?:: ('.*'|\".*\"))?", re.DOTALL)
_MEANT_FOR_ITERATORS: Final = (StopIteration, StopAsyncIteration)


class RemoteTraceback(Exception):  # no error of its own: it shows where the error was raised
    """The traceback of a task, as text: the cause of the exception that a caller gets."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def failure_of(error: BaseException, cause: Cause = Cause.ERROR) -> Failure:
    """Return what travels of an exception; never raises, whatever the exception does."""
    return Failure(
        cause=cause,
        type=_shortened(f"{type(error).__module__}.{type(error).__qualname__}"),
        message=_shortened(_message(error)),
        traceback=_shortened(_traceback(error)),
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as second:  # noqa: BLE001  # a user's __str__ may raise anything
        return f"<its message can't be shown: __str__ raised {type(second).__name__}>"


def _traceback(error: BaseException) -> str:
    try:
        frames = _without_own(error.__traceback__)
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as second:  # noqa: BLE001  # likewise, from a user's __repr__, __cause__, ...
        return f"<its traceback can't be shown: {type(second).__name__}>"


def _without_own(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OWN):
        frames = frames.tb_next
    return frames


def _shortened(text: str) -> str:
    text = text.encode(errors="backslashreplace").decode()
    if len(text) <= MAX_TEXT:
        return text
    head, tail = MAX_TEXT // 4, MAX_TEXT * 3 // 4 - 40
    return f"{text[:head]}\n... {len(text) - head - tail} characters ...\n{text[-tail:]}"


def exception_of(failure: Failure, task: str) -> BaseException:
    """Return the exception that a caller gets for a task that failed; `task` is its address, as `17.42`."""
    error = _built_in(failure) if failure.cause is Cause.ERROR else None
    if error is None:
        return _task_failed(failure, task)
    error.add_note(f"in task {task}" + (f" on {failure.worker}" if failure.worker else ""))
    if failure.traceback:
        error.__cause__ = RemoteTraceback(failure.traceback)
    return error


def _task_failed(failure: Failure, task: str) -> errors.TaskFailed:
    error = _ENDED.get(failure.cause, errors.TaskFailed)(
        f"task {task} failed: {failure.summary}",
        type=failure.type,
        traceback=failure.traceback,
        task=task,
        cause=failure.cause.value,
    )
    if failure.traceback:
        error.__cause__ = RemoteTraceback(failure.traceback)
    return error


def _built_in(failure: Failure) -> Exception | None:
    """Make an exception of Python itself anew; None if it is another's, or more than its message."""
    module, _, name = failure.type.partition(".")
    kind = getattr(builtins, name, None) if module == "builtins" else None
    if not isinstance(kind, type) or not issubclass(kind, Exception) or issubclass(kind, _MEANT_FOR_ITERATORS):
        return None
    try:
        error = kind(*_arguments(kind, failure.message))
    except (TypeError, ValueError):  # a UnicodeDecodeError has five arguments
        return None
    return error if str(error) == failure.message else None


def _arguments(kind: type[Exception], message: str) -> tuple[object, ...]:
    if not message:
        return ()
    if issubclass(kind, KeyError):
        return (_literal(message),)
    if issubclass(kind, OSError) and (match := _ERRNO.fullmatch(message)):
        number, text, name = match.groups()
        return (int(number), text) if name is None else (int(number), text, _literal(name))
    return (message,)


def _literal(text: str) -> object:
    """Return what a repr of something simple shows, else the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
