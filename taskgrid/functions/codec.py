"""One type, both ways: from Python values to lines of JSON and back, singly and by the batch.

Every value is checked against its annotation before it is written, so that what the other end reads
is what the annotation says. Checking and reading a batch is one call into pydantic; so is writing
one of scalars: JSON escapes line ends, so an indented list of scalars holds each on a line of its own.
Knows types and JSON, and nothing of functions, arguments or tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from types import NoneType
from typing import Any, Final, NoReturn
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from taskgrid.functions.interrupts import let_interrupt_through
from taskgrid.functions.plain import NOT_PLAIN, Plain, settled, where_not_plain

CONFIG: Final = ConfigDict(
    ser_json_inf_nan="constants",
    ser_json_bytes="base64",
    val_json_bytes="base64",
    revalidate_instances="always",  # a plain dataclass never checked its fields
)
_SCALARS: Final = frozenset(
    {int, float, bool, str, bytes, None, NoneType, Path, PurePath, datetime, date, time, timedelta, Decimal, UUID}
)
"""Types whose JSON is one scalar: a batch of them is written in one call."""
_EXACT: Final = frozenset({int, float, bool, str, NoneType})
"""Types of which an instance that is exactly one needs no check, and is plain JSON."""
_INERT: Final = frozenset({int, float, bool, NoneType})
"""Types that are plain JSON by themselves, and whose JSON holds no comma."""


class BadValue(Exception):  # the situation; the callers make it an error for people
    """A value does not fit its type, or is not JSON: which of the batch, where inside, and why."""

    def __init__(self, index: int, where: str, why: str, value: object) -> None:
        super().__init__(f"{where}: {why}" if where else why)
        self.index = index
        self.where = where
        self.why = why
        self.value = value

    @property
    def is_json(self) -> bool:
        """False if no annotation would help: the value is a thing of this process."""
        if isinstance(self.value, Iterator):  # an open file too
            return False
        try:
            to_json(self.value)
        except (ValueError, PydanticSerializationError) as error:
            let_interrupt_through(error)
            return False
        return True


class Codec:
    """Checks, writes and reads values of one annotation."""

    def __init__(self, annotation: Any) -> None:
        """Build for an annotation; whatever pydantic raises for one that has no JSON goes through."""
        check = settled(annotation)
        self.annotation = annotation
        self.plain = check is Plain
        checked = _list_adapter(check)
        # `Any` inside is written by the plain annotation: ten times as fast, and it is checked by then.
        written = _list_adapter(Any if self.plain else annotation)
        self._check = checked.validator.validate_python
        self._read = checked.validator.validate_json
        self._write = written.serializer.to_json
        self._to_python = written.serializer.to_python
        self._has_models = "'type': 'model'" in repr(written.core_schema)
        self._scalar = _is_one_of(annotation, _SCALARS)
        self.encode: Callable[[Any], bytes] = self._quick_encode()
        """Check one value and return its JSON; BadValue if it does not fit or is not JSON."""

    def _encode(self, value: object) -> bytes:
        return self._line(0, self._checked([value])[0])

    def encode_many(self, values: Sequence[Any]) -> list[bytes]:
        """Check values in one call and return the JSON of each; BadValue names the first that is wrong."""
        checked = self._checked(values)
        if checked and (self._scalar or (self.plain and _INERT.issuperset(map(type, checked)))):
            return self._scalar_lines(checked)
        return [self._line(index, value) for index, value in enumerate(checked)]

    def decode(self, line: bytes) -> Any:
        """Return the value of one line of JSON; ValidationError if it does not fit."""
        return self.decode_many(line)[0]

    def decode_many(self, lines: bytes) -> list[Any]:
        """Return the values of joined lines of JSON, read in one call; ValidationError if one does not fit."""
        if not lines:
            return []
        text = b"[" + lines.replace(b"\n", b",") + b"]"
        values: list[Any] = from_json(text) if self.plain else self._read(text, by_alias=True, by_name=True)
        return values

    def _checked(self, values: Sequence[Any]) -> list[Any]:
        try:
            checked: list[Any] = self._check(values if type(values) is list else list(values))
        except ValidationError as error:
            _refuse(error)
        return checked

    def _line(self, index: int, checked: object) -> bytes:
        try:
            line = self._write([checked], round_trip=True, warnings=False)[1:-1]
            if self._has_models and b"null" in line:  # a model's own configuration writes NaN as null
                python = self._to_python([checked], mode="json", round_trip=True, warnings=False)
                line = to_json(python, inf_nan_mode="constants")[1:-1]
        except (PydanticSerializationError, RecursionError) as error:
            let_interrupt_through(error)
            raise BadValue(index, "", _first_line(error), checked) from None
        return line

    def _scalar_lines(self, checked: list[Any]) -> list[bytes]:
        try:
            return self._write(checked, indent=1)[3:-2].split(b",\n ")
        except PydanticSerializationError as error:  # find out which
            let_interrupt_through(error)
            return [self._line(index, value) for index, value in enumerate(checked)]

    def _quick_encode(self) -> Callable[[Any], bytes]:
        """Return `_encode`, or the same with a shorter way for the values most often seen."""
        encode, exact = self._encode, self._exact_kinds()
        if not exact:
            return encode
        written = Any if self.plain else self.annotation
        write: Callable[[Any], bytes] = TypeAdapter(written, config=CONFIG).serializer.to_json

        def quick(value: Any) -> bytes:
            if type(value) in exact:
                try:
                    return write(value)
                except PydanticSerializationError:  # a str with lone surrogates: `_encode` says so
                    pass
            return encode(value)

        return quick

    def _exact_kinds(self) -> frozenset[Any]:
        """Return the types of which an instance that is exactly one fits without a check."""
        if self.plain:
            return _EXACT
        kind = NoneType if self.annotation is None else self.annotation
        return frozenset({kind}) if _is_one_of(kind, _EXACT) else frozenset()


def _refuse(error: ValidationError) -> NoReturn:
    first = error.errors(include_url=False)[0]
    index, where = int(first["loc"][0]), first["loc"][1:]
    found = _where_not_plain(first["input"]) if first["type"] == NOT_PLAIN else None
    if found is None:
        raise BadValue(index, _path(where), first["msg"], first["input"]) from None
    inside, part = found
    why = f"{type(part).__name__} is not plain JSON, and no annotation says what it is"
    raise BadValue(index, f"{_path(where)}{inside}".lstrip("."), why, part) from None


def _list_adapter(annotation: Any) -> TypeAdapter[list[Any]]:
    many: Any = list
    return TypeAdapter(many[annotation], config=CONFIG)


def _where_not_plain(value: object) -> tuple[str, object] | None:
    try:
        return where_not_plain(value)
    except RecursionError:  # it holds itself
        return None


def _is_one_of(annotation: Any, kinds: frozenset[Any]) -> bool:
    try:
        return annotation in kinds
    except TypeError:  # not hashable
        return False


def _path(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
