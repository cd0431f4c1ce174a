"""How a function over files is called in a task process: with a slice and its output, giving a `Done`.

The payload is `[slice, target, aside, strict, arguments]`: the output, where bad records are written, whether
the first one is an error, and what the function is given beside; what follows the slice may be left out. What a
run wants to know of a task beside its value stands in the outcome: what was read and written, by whom and how
long. Knows no run.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from taskgrid.errors import FunctionRefused
from taskgrid.files.arguments import Arguments
from taskgrid.files.output import Output, Written
from taskgrid.files.reading import Bad, Noted, Notes
from taskgrid.files.slices import FileSlice
from taskgrid.functions.current import LEASE, LEFT, SLOT
from taskgrid.functions.plain import settled
from taskgrid.functions.signature import hints_of

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

R = TypeVar("R")

CONVENTION: Final = "files"
"""The name of this convention in a job."""


class Done(BaseModel, Generic[R]):
    """What a task over a slice came to."""

    model_config = ConfigDict(frozen=True)

    value: R
    written: Written | None = None
    bytes: int
    """Stored bytes of the slice."""
    records: int | None = None
    """Records that were read; None if the function read them in blocks."""
    bad: int = 0
    """Records that the function could not use."""
    samples: tuple[Bad, ...] = ()
    """Some of them."""
    aside: Written | None = None
    """All of them, if they were to be kept."""
    seconds: float
    attempt: int = 1
    worker: str = ""


def done_of(value: Any) -> Any:
    """Return the type of what a task comes to whose function's value is annotated so."""
    return Done[value]


class Shape(NamedTuple):
    """What a function over files takes and gives."""

    output: str | None
    """The name of its parameter for the output."""
    value: Any
    """The annotation of its value."""
    arguments: Arguments
    """Its other parameters."""

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Shape:
        """Look at a function; FunctionRefused if it can't be called with a slice."""
        hints = hints_of(function)
        parameters = list(inspect.signature(function).parameters.values())
        if inspect.iscoroutinefunction(function):
            raise FunctionRefused(f"{function.__name__} is async", hint="Let a function over files be a plain one.")
        _require_a_slice(function.__name__, hints, parameters)
        output = next((each.name for each in parameters[1:] if hints.get(each.name) is Output), None)
        others = [each for each in parameters[1:] if each.name != output]
        value = settled(hints.get("return", inspect.Parameter.empty))
        return cls(output, value, Arguments(function.__name__, others, hints))


def _require_a_slice(name: str, hints: dict[str, Any], parameters: list[inspect.Parameter]) -> None:
    first = parameters[0] if parameters else None
    if first is None or first.kind is first.KEYWORD_ONLY or hints.get(first.name) is not FileSlice:
        raise FunctionRefused(
            f"the first parameter of {name} is no FileSlice",
            hint=f"Write it as `def {name}(slice: FileSlice) -> ...:`, from taskgrid.files import FileSlice.",
        )


def carried(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function as the convention calls it: from a slice and what goes with it to a `Done`."""
    shape = Shape.of(function)

    def call(
        slice: FileSlice,  # noqa: A002  # the word of the glossary
        target: Path | None = None,
        aside: Path | None = None,
        strict: bool = False,
        arguments: Any = {},  # noqa: B006  # it is only read
    ) -> Any:
        began, notes = time.monotonic(), Notes(strict=strict, aside=aside)
        output = None if target is None or shape.output is None else Output(path=target)
        given = arguments if output is None or shape.output is None else {**arguments, shape.output: output}
        try:
            value = function(Noted.of(slice, notes), **given)
            return _done(value, slice, notes, output, time.monotonic() - began)
        except BaseException:
            notes.discard()
            if output is not None:
                output.discard()
            raise

    call.__module__, call.__qualname__ = function.__module__, function.__qualname__
    # Objects, not names: names would be looked up in the user's module.
    call.__annotations__ = {
        "slice": FileSlice,
        "target": Path | None,
        "aside": Path | None,
        "strict": bool,
        "arguments": shape.arguments.annotation,
        "return": done_of(shape.value),
    }
    return call


def _done(value: Any, read: FileSlice, notes: Notes, output: Output | None, seconds: float) -> Done[Any]:
    """Return what a task came to, its files closed and left to be published."""
    written, aside = output.finish() if output is not None else None, notes.finish()
    LEFT.extend((each.temporary, each.target) for each in (written, aside) if each is not None)
    return Done.model_construct(
        value=value,
        written=written,
        bytes=read.end - read.start,
        records=notes.records,
        bad=notes.bad,
        samples=tuple(notes.samples),
        aside=aside,
        seconds=seconds,
        attempt=SLOT[0][2] if SLOT[0] is not None else 1,
        worker=LEASE[0].worker,
    )
