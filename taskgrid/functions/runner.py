"""One attempt: from a payload line to an outcome line.

This is the one place where a user's error becomes a value. Pydantic checks the arguments and calls the
function in one step; its value is written as its call ends, since a function may return the same list
each time. A `ValidationError` that left no frame behind was raised before the function was entered:
then the arguments were bad. Knows nothing of leases, limits or processes.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import from_json, to_json

from taskgrid.errors import FunctionRefused
from taskgrid.functions.codec import CONFIG, BadValue
from taskgrid.functions.failures import failure_of
from taskgrid.functions.signature import codec_of, hints_of
from taskgrid.model.outcome import TOO_LARGE, Cause, Failure, failure_line
from taskgrid.settings import how_to_raise

if TYPE_CHECKING:
    import asyncio

MAX_RESULT: Final = 1 << 20
"""Bytes a value's JSON may have unless said otherwise."""
_MIXED: Final = b'{"*":'
_OWN: Final = str(Path(__file__).parent) + os.sep


class Runner:
    """Runs one function; close it when done, or use it in a `with` statement."""

    def __init__(self, function: Callable[..., Any], *, max_result: int = MAX_RESULT) -> None:
        """Build the way from JSON into the function; FunctionRefused if an annotation has no JSON."""
        self.name = f"{function.__module__}:{function.__qualname__}"
        self.max_result = max_result
        self._function = function
        self._signature = inspect.signature(function)
        self._hints = hints_of(function)
        self._call: Callable[..., Any] = _adapter(function, self.name).validator.validate_json
        self._dump = codec_of(self._hints.get("return", inspect.Parameter.empty), f"the value of {self.name}").encode
        self._loop: asyncio.Runner | None = None
        self._is_async = any(map(inspect.iscoroutinefunction, (function, inspect.unwrap(function))))

    def run(self, line: bytes) -> bytes:
        """Call the function with a payload line and return the outcome line, without a line end."""
        try:
            if self._is_async or line.startswith(_MIXED):
                value = self._run_rarer(line)
            else:
                value = self._call(line, by_alias=True, by_name=True)
        except BaseException as error:  # noqa: BLE001  # whatever a task raises is its outcome
            return self._failed(error)
        try:
            outcome = self._dump(value)
        except Exception as error:  # noqa: BLE001  # a value's own methods may raise anything
            return _bad_result(error)
        except BaseException as error:  # noqa: BLE001  # an interrupt says nothing of the value
            return failure_line(failure_of(error))
        return outcome if len(outcome) <= self.max_result else self._too_large(len(outcome))

    def close(self) -> None:
        """End the event loop, if an `async def` needed one."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run_rarer(self, line: bytes) -> Any:
        value = self._call_mixed(line) if line.startswith(_MIXED) else self._call(line, by_alias=True, by_name=True)
        if not inspect.isawaitable(value):
            return value
        if self._loop is None:
            import asyncio  # noqa: PLC0415  # a task process starts sooner without it, and most need it never

            self._loop = asyncio.Runner()
        return self._loop.run(_awaited(value))

    def _call_mixed(self, line: bytes) -> Any:
        """Call with a payload that holds arguments by position, under `*`, and by name: rare, so it may be slow."""
        named: dict[str, Any] = from_json(line)
        try:
            bound = self._signature.bind(*named.pop("*"), **named)
        except TypeError as error:
            raise _Unbound(str(error)) from None
        for name, value in bound.arguments.items():
            bound.arguments[name] = self._read_argument(name, value)
        return self._function(*bound.args, **bound.kwargs)

    def _read_argument(self, name: str, value: Any) -> Any:
        codec = codec_of(self._hints.get(name, inspect.Parameter.empty), f"{name} of {self.name}")
        match self._signature.parameters[name].kind:
            case inspect.Parameter.VAR_POSITIONAL:
                return tuple(codec.decode(to_json(one)) for one in value)
            case inspect.Parameter.VAR_KEYWORD:
                return {key: codec.decode(to_json(one)) for key, one in value.items()}
            case _:
                return codec.decode(to_json(value))

    def _failed(self, error: BaseException) -> bytes:
        if isinstance(error, ValidationError | _Unbound) and not _was_entered(error):
            return failure_line(_bad_arguments(error, self.name))
        return failure_line(failure_of(error))

    def _too_large(self, length: int) -> bytes:
        return failure_line(
            Failure(
                cause=Cause.BAD_RESULT,
                type=TOO_LARGE,
                message=f"the value is {length:,} bytes of JSON, more than {self.max_result:,}: write it to shared "
                f"storage and return its path, or {how_to_raise('max_result_bytes', 'worker')}",
            )
        )


class _Unbound(Exception):  # never leaves this module
    """The arguments of a mixed payload make no call."""


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


def _was_entered(error: BaseException) -> bool:
    """Tell whether the traceback leads out of TaskGrid's own frames: pydantic's checks leave none."""
    frames = error.__traceback__
    while frames is not None:
        if not frames.tb_frame.f_code.co_filename.startswith(_OWN):
            return True
        frames = frames.tb_next
    return False


def _bad_arguments(error: ValidationError | _Unbound, name: str) -> Failure:
    if isinstance(error, _Unbound):
        return Failure(cause=Cause.BAD_ARGUMENTS, message=f"{name}: {error}")
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    given = "" if first["type"] == "missing_argument" else f" (it is {first['input']!r:.200})"
    return Failure(
        cause=Cause.BAD_ARGUMENTS,
        message=f"{name}: {where}: {first['msg']}{given}" if where else f"{name}: {first['msg']}{given}",
    )


def _bad_result(error: Exception) -> bytes:
    if not isinstance(error, BadValue):
        return failure_line(failure_of(error, Cause.BAD_RESULT))
    hint = "annotate the return type, or return plain JSON" if "plain JSON" in error.why else ""
    kind = "" if error.is_json else "; write it to shared storage and return its path"
    message = f"the value does not fit: {error}{kind}" + (f"; {hint}" if hint and not kind else "")
    return failure_line(Failure(cause=Cause.BAD_RESULT, message=message))


def _adapter(function: Callable[..., Any], name: str) -> TypeAdapter[Any]:
    callee: Any = function
    try:
        return TypeAdapter(callee, config=CONFIG)
    except PydanticUserError as error:
        raise FunctionRefused(
            f"an argument of {name} has no form as JSON",
            why=str(error).splitlines()[0],
            hint="Let it be a path, a dataclass or a pydantic model.",
        ) from None
