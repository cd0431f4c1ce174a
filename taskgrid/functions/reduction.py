"""How values of several tasks become one: by a function of theirs, or as their kind says.

A worker merges outcome lines, since a value is written as its task ends; a client merges values. Both
do it here. Knows nothing of which values belong together.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from taskgrid.errors import FunctionRefused, UsageError
from taskgrid.functions.code import code_version
from taskgrid.functions.codec import CONFIG
from taskgrid.functions.naming import name_of
from taskgrid.functions.signature import codec_of, hints_of
from taskgrid.model.job import Reduce

Merge = Callable[[Sequence[Any]], Any]
"""Takes at least two values in order of index and returns one of their kind; it must not change them."""

BY_KIND: Final = "merge"
"""Stands for a function's name: the values say themselves how they are merged."""


def add_up(parts: Sequence[Any]) -> Any:
    """Merge values of a kind that says how: by its `merge(parts)`, as `taskgrid.merging`'s have, else by `+`.

    UsageError for a kind that has neither.
    """
    merge = getattr(type(parts[0]), "merge", None)
    if merge is not None:
        return merge(parts)
    try:
        return functools.reduce(operator.add, parts)
    except TypeError as error:
        raise UsageError(
            f"results of type {type(parts[0]).__name__} can't be merged",
            why=str(error),
            hint="Return a value that has `merge(parts)` or `+`, as those of `taskgrid.merging`, or name a function.",
        ) from error


def reduce_of(reduce: Merge | str | None) -> Reduce | None:
    """Return what a job says of its reduction; UsageError and FunctionRefused for what no worker could find."""
    if reduce is None:
        return None
    if callable(reduce):
        return Reduce(how=name_of(reduce), code=code_version(reduce).version)
    if reduce != BY_KIND and not all(reduce.partition(":")):
        raise UsageError(f"a reduction is a function, its name as MODULE:FUNCTION, or 'merge', not {reduce!r}")
    return Reduce(how=reduce)


def _taken_by(merge: Merge) -> TypeAdapter[Any] | None:
    """Return what checks values before a function gets them; None if its annotation doesn't say.

    FunctionRefused for a function that does not take one argument, or whose annotation has no check.
    """
    first = next(iter(inspect.signature(merge).parameters.values()), None)
    if first is None:
        raise FunctionRefused(f"{name_of(merge)} takes no values")
    if first.name not in (hints := hints_of(merge)):
        return None
    try:
        return TypeAdapter(hints[first.name], config=CONFIG)
    except PydanticUserError as error:
        raise FunctionRefused(f"what {name_of(merge)} takes can't be checked", why=str(error)) from None


class Merging:
    """Merges outcome lines of one function."""

    def __init__(self, function: Callable[..., Any], merge: Merge, max_result: int) -> None:
        """Values are what `function` returns; FunctionRefused if that has no JSON."""
        returned = hints_of(function).get("return", inspect.Parameter.empty)
        self._codec = codec_of(returned, f"the value of {function.__qualname__}")
        self._merge = merge
        self._takes = None if merge is add_up else _taken_by(merge)
        self._max_result = max_result

    def merged(self, lines: Sequence[bytes]) -> bytes | None:
        """Return the line of what the values of these lines come to.

        None where this can't be said here, whatever the reason: each value goes its own way then, and whoever
        merges those tells what is wrong.
        """
        try:
            values = self._codec.decode_many(b"\n".join(lines))
            if self._takes is not None:  # who names a function for this gets no further than who names it for a job
                self._takes.validate_python(values, strict=True)
            line = self._codec.encode(self._merge(values))
        except BaseException:  # noqa: BLE001  # a user's function may raise anything, and has another chance
            return None
        return line if len(line) <= self._max_result else None
