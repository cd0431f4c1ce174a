"""What a function over files is given beside its slice: the other parameters, alike for all slices of a run.

They travel in each payload as one object by name, checked here before anything is sent and again where
the function runs. Knows a function's parameters, and nothing of runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any, NotRequired, Required

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic's own: it refuses the one of Python 3.11

from taskgrid.errors import UsageError
from taskgrid.functions.codec import CONFIG, BadValue
from taskgrid.functions.plain import settled
from taskgrid.functions.signature import codec_of

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class Arguments:
    """The parameters of a function that a run gives values to, by name."""

    def __init__(self, function: str, parameters: Sequence[Parameter], hints: Mapping[str, Any]) -> None:
        """Take the function's name, its parameters beside slice and output, and their resolved annotations."""
        self._function = function
        self._hints = {each.name: settled(hints.get(each.name, each.empty)) for each in parameters if _can(each)}
        self._needed = [each.name for each in parameters if _must(each)]
        fields = {
            name: Required[hint] if name in self._needed else NotRequired[hint] for name, hint in self._hints.items()
        }
        make: Any = TypedDict  # type checkers know only those that are written down
        annotation = make("Arguments", fields)
        annotation.__pydantic_config__ = {**CONFIG, "extra": "forbid"}
        self.annotation: Any = annotation
        """What the object must be."""

    def encode(self, given: Mapping[str, Any]) -> bytes:
        """Return the values as JSON; UsageError if one is missing, unknown or wrong."""
        self._check_names(given)
        try:
            line = codec_of(self.annotation, self._function).encode(dict(given))
        except BadValue as error:
            raise UsageError(f"{self._function}: {error.where}: {error.why}") from None
        return _in_one_order(line, [name for name, value in given.items() if isinstance(value, set | frozenset)])

    def read(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return values that were written by hand, each as its parameter is annotated: as text, else as JSON."""
        self._check_names(texts)
        return {name: self._value(name, text) for name, text in texts.items()}

    def _value(self, name: str, text: str) -> Any:
        adapter: TypeAdapter[Any] = TypeAdapter(self._hints[name])
        try:
            return adapter.validate_strings(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]["msg"]
        try:
            return adapter.validate_json(text)
        except ValidationError:
            raise UsageError(f"{self._function} can't be given {name}={text}", why=first) from None

    def _check_names(self, given: Mapping[str, Any]) -> None:
        unknown = [name for name in given if name not in self._hints]
        missing = [name for name in self._needed if name not in given]
        known = f"It has {', '.join(self._hints)}." if self._hints else "It has none beside the slice."
        if unknown:
            raise UsageError(f"{self._function} has no parameter {', '.join(unknown)}", why=known)
        if missing:
            raise UsageError(
                f"{self._function} needs a value for {', '.join(missing)}",
                why="A run gives it a slice and, if it has a parameter of that type, an Output.",
                hint="Give the others with --arg NAME=VALUE, or in Python with arguments={...}.",
            )


def _in_one_order(line: bytes, sets: Sequence[str]) -> bytes:
    """Return the object with the values of sets in order: a process writes them as its hashes fall."""
    if not sets:
        return line
    values = json.loads(line)
    return json.dumps(values | {name: sorted(values[name], key=json.dumps) for name in sets}).encode()


def _can(parameter: Parameter) -> bool:
    return parameter.kind in _BY_NAME


def _must(parameter: Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in {
        Parameter.VAR_POSITIONAL,
        Parameter.VAR_KEYWORD,
    }
