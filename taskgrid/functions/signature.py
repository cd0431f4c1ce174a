"""A function's signature: what its arguments are written as, and its values read as.

A payload is one line of JSON: an array gives the arguments by position, an object by name, and an
object whose first key is `*` both (no parameter is called that). Items are checked by the column, one
call into pydantic for each, and an error names the item and the parameter. Knows nothing of jobs;
`NamedSignature` has the same interface for a function that is known by name only.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from inspect import Parameter
from typing import Any, Final, NoReturn

from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from taskgrid.errors import FunctionRefused, NotSerializable, TaskGridError, TooLarge, UsageError
from taskgrid.functions.codec import BadValue, Codec
from taskgrid.functions.naming import name_of
from taskgrid.settings import how_to_raise

MAX_PAYLOAD: Final = 1 << 20
"""Bytes a payload may have unless said otherwise."""
_ANY: Final = Parameter.empty


class NamedSignature:
    """The signature of a function that is known by name only: plain JSON both ways."""

    _hint = "Pass plain JSON: only the function itself could say more of its types."

    def __init__(self, name: str, *, max_payload: int = MAX_PAYLOAD) -> None:
        """Take the function's name, `module:qualname`; `max_payload` is in bytes."""
        self.name = name
        self.max_payload = max_payload
        self._result = Codec(_ANY)
        self._open = Codec(_ANY)

    def encode_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """Return one call's payload; UsageError names the argument that is wrong."""
        try:
            line = self._call_line(args, kwargs)
        except BadValue as error:
            self._refuse(error, "", "")
        return self._within_limit([line], None)[0]

    def encode_items(self, items: Sequence[Any], *, first: int = 0, star: bool = False) -> list[bytes]:
        """Return a payload for each item; UsageError names the item, counted from `first`, and the field.

        Each item is the one argument; with `star` a tuple or list is all by position, a dict all by name.
        """
        if not items:
            return []
        if star:
            return self._within_limit(self._star_lines(items, first), first)
        parameter, codec = self._only()
        try:
            values = codec.encode_many(items)
        except BadValue as error:
            self._refuse(error, f"item {first + error.index}", parameter)
        return self._within_limit((b"[" + b"]\n[".join(values) + b"]").split(b"\n"), first)

    def decode_value(self, line: bytes) -> Any:
        """Return the value of one outcome line that is no failure, as the return annotation says."""
        return self.decode_values(line)[0]

    def decode_values(self, lines: bytes) -> list[Any]:
        """Return the values of joined outcome lines, none of them a failure, read in one call."""
        try:
            return self._result.decode_many(lines)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            raise TaskGridError(
                f"a value of {self.name} does not fit its return annotation here: {problem['msg']}",
                why=f"It is {problem['input']!r:.200}: the worker's code was not the same.",
                hint="Run the same files on both sides.",
            ) from None

    def _only(self) -> tuple[str, Codec]:
        """Return the parameter that an item stands for."""
        return "", self._open

    def _column(self, place: int) -> tuple[str, Codec]:
        """Return the parameter at a position."""
        return str(place), self._open

    def _named(self, name: str) -> Codec:  # noqa: ARG002  # nothing is known of any name
        return self._open

    def _check_shape(self, count: int, names: Collection[str]) -> None:
        """Raise UsageError unless so many arguments by position and these by name make a call."""

    def _by_position(self, values: list[bytes]) -> list[bytes]:
        """Return how arguments by position stand in an object."""
        return [b'"*":[' + b",".join(values) + b"]"] if values else []

    def _call_line(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        self._check_shape(len(args), kwargs)
        values = [_located(*self._column(place), value) for place, value in enumerate(args)]
        if not kwargs:
            return b"[" + b",".join(values) + b"]"
        pairs = [_key(name) + _located(name, self._named(name), value) for name, value in kwargs.items()]
        return b"{" + b",".join([*self._by_position(values), *pairs]) + b"}"

    def _star_lines(self, items: Sequence[Any], first: int) -> list[bytes]:
        width = len(items[0]) if isinstance(items[0], tuple | list) else -1
        if width < 1 or any(type(item) not in (tuple, list) or len(item) != width for item in items):
            return [self._star_line(item, first + place) for place, item in enumerate(items)]
        self._check_shape(width, ())
        columns = []
        for place, column in enumerate(zip(*items, strict=True)):
            parameter, codec = self._column(place)
            try:
                columns.append(codec.encode_many(column))
            except BadValue as error:
                self._refuse(error, f"item {first + error.index}", parameter)
        return [b"[" + b",".join(row) + b"]" for row in zip(*columns, strict=True)]

    def _star_line(self, item: Any, index: int) -> bytes:
        try:
            if isinstance(item, Mapping):
                return self._call_line((), item)
            if isinstance(item, tuple | list):
                return self._call_line(item, {})
        except BadValue as error:
            self._refuse(error, f"item {index}", "")
        except UsageError as error:
            raise UsageError(f"item {index}: {error.message}", why=error.why, hint=error.hint) from None
        raise UsageError(
            f"item {index} is a {type(item).__name__}, which can't be spread over the arguments of {self.name}",
            hint="With star each item is a tuple (by position) or a dict (by name).",
        )

    def _refuse(self, error: BadValue, item: str, parameter: str) -> NoReturn:
        inside = error.where if error.where.startswith("[") or not parameter else f".{error.where}"
        place = f"{parameter}{inside}".strip(".")
        what = ": ".join(part for part in (f"{item} of {self.name}" if item else self.name, place, error.why) if part)
        if error.is_json:
            hint = self._hint if "plain JSON" in error.why else ""
            raise UsageError(what, why=f"It is {error.value!r:.200}.", hint=hint) from None
        kind = type(error.value).__name__
        raise NotSerializable(
            what, why=f"A {kind} can't travel as JSON.", hint="Pass a path instead, and open it in the function."
        ) from None

    def _within_limit(self, lines: list[bytes], first: int | None) -> list[bytes]:
        longest = max(map(len, lines))
        if longest <= self.max_payload:
            return lines
        index = next(place for place, line in enumerate(lines) if len(line) > self.max_payload)
        which = "the arguments" if first is None else f"item {first + index}"
        raise TooLarge(
            f"{which} of {self.name}: {len(lines[index]):,} bytes of JSON, more than {self.max_payload:,}",
            hint=f"Write it to shared storage and pass its path, or {how_to_raise('max_payload_bytes', 'grid')}.",
            setting="max_payload_bytes",
        )


class Signature(NamedSignature):
    """The signature of a function that is at hand: arguments and values as its annotations say."""

    _hint = "Annotate the parameter, or pass plain JSON."

    def __init__(self, function: Callable[..., Any], *, max_payload: int = MAX_PAYLOAD) -> None:
        """Read the annotations; FunctionRefused if the function can't be named or one has no JSON."""
        super().__init__(name_of(function), max_payload=max_payload)
        parameters, hints = list(inspect.signature(function).parameters.values()), hints_of(function)
        self._possible: set[int] = set()  # numbers of arguments by position that alone make a call
        self._by_name = {p.name: p for p in parameters}
        self._codecs = {p.name: self._codec(p.name, hints.get(p.name, _ANY)) for p in parameters}
        self._result = self._codec("its value", hints.get("return", _ANY))
        self._positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._rest = next((p for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self._more = next((p for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self._required = [p.name for p in parameters if p.default is p.empty and p not in (self._rest, self._more)]

    @classmethod
    def of(cls, function: Callable[..., Any], *, max_payload: int = MAX_PAYLOAD) -> Signature:
        """Return the signature of a function; FunctionRefused if it can't be named or typed."""
        return cls(function, max_payload=max_payload)

    def _codec(self, what: str, annotation: Any) -> Codec:
        return codec_of(annotation, f"{what} of {self.name}")

    def _only(self) -> tuple[str, Codec]:
        self._check_shape(1, ())
        return self._column(0)

    def _column(self, place: int) -> tuple[str, Codec]:
        if place < len(self._positional):
            name = self._positional[place].name
            return name, self._codecs[name]
        if self._rest is None:
            raise UsageError(f"{self.name} takes {len(self._positional)} arguments by position")
        return f"{self._rest.name}[{place - len(self._positional)}]", self._codecs[self._rest.name]

    def _by_position(self, values: list[bytes]) -> list[bytes]:
        given = self._positional[: len(values)]
        if len(values) > len(given) or any(p.kind is p.POSITIONAL_ONLY for p in given):
            return super()._by_position(values)
        return [_key(p.name) + value for p, value in zip(given, values, strict=True)]

    def _named(self, name: str) -> Codec:
        parameter = self._by_name.get(name)
        if parameter is not None and parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
            return self._codecs[name]
        if self._more is None:
            raise UsageError(f"{self.name} takes no argument named {name!r}")
        return self._codecs[self._more.name]

    def _check_shape(self, count: int, names: Collection[str]) -> None:
        if names or count not in self._possible:
            self._check_each(count, names)

    def _check_each(self, count: int, names: Collection[str]) -> None:
        given = [p.name for p in self._positional[:count]]
        twice = [n for n in names if n in given and self._by_name[n].kind is not Parameter.POSITIONAL_ONLY]
        missing = [n for n in self._required if n not in given and n not in names]
        if count > len(self._positional) and self._rest is None:
            raise UsageError(f"{self.name} takes {len(self._positional)} arguments by position, not {count}")
        if twice:
            raise UsageError(f"{self.name} was given {', '.join(twice)} twice")
        if missing:
            raise UsageError(
                f"{self.name} needs a value for {', '.join(missing)}",
                hint="Give a tuple or a dict for each call with star=True, or give the parameters defaults.",
            )
        if not names:
            self._possible.add(count)


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return a function's annotations, resolved; FunctionRefused if one names nothing."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise FunctionRefused(
            f"the annotations of {function.__qualname__} can't be resolved: {error}",
            hint="Import what they name at run time too, not only under TYPE_CHECKING.",
        ) from None


def codec_of(annotation: Any, what: str) -> Codec:
    """Return the codec of an annotation; FunctionRefused if it has no JSON."""
    if annotation is typing.NoReturn or annotation is typing.Never:
        annotation = None
    try:
        return Codec(annotation)
    except PydanticUserError as error:
        raise FunctionRefused(
            f"{what}: {getattr(annotation, '__name__', annotation)} has no form as JSON",
            why=str(error).splitlines()[0],
            hint="Let it be a path, a dataclass or a pydantic model.",
        ) from None


def _located(parameter: str, codec: Codec, value: object) -> bytes:
    try:
        return codec.encode(value)
    except BadValue as error:
        inside = error.where if error.where.startswith("[") or not error.where else f".{error.where}"
        raise BadValue(0, parameter + inside, error.why, error.value) from None


def _key(name: str) -> bytes:
    return _KEYS.encode(name) + b":"


_KEYS: Final = Codec(str)
