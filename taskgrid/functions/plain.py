"""Plain JSON: what a value must be where nothing is said of its type.

Pydantic writes a datetime, a set or an enum under `Any` as the nearest JSON, and what comes back is
a str or a list. TaskGrid never turns one thing into another unasked: where an annotation is missing
or says `Any`, a value must be made of str, int, float, bool, None, list, tuple and dict with str keys
(a tuple comes back as a list). `settled` puts `Plain` wherever an annotation leaves it open.
"""

from __future__ import annotations

import inspect
import types
from collections import deque
from typing import Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin

from pydantic import Field, GetCoreSchemaHandler, Strict
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType  # pydantic's own dependency; in `typing` from Python 3.12 on

_STRICT: Final = Strict()

NOT_PLAIN: Final = "taskgrid_not_plain"
"""Type of the one error that a value gets which is not plain JSON."""


class _OneError:
    """Makes a union say one thing, not one for each of its members."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = dict(handler(source))
        schema.update(custom_error_type=NOT_PLAIN, custom_error_message="Input should be plain JSON")
        return cast("CoreSchema", schema)  # a closed union of typed dicts, of which this is one


# A type that holds itself is a value for pydantic; type checkers see `Any`.
_make_alias: Any = TypeAliasType
_LIST: Any = list
_DICT: Any = dict
_TUPLE: Any = tuple
Plain: Any = _make_alias(
    "Plain",
    Annotated[
        Union[  # noqa: UP007  # `|` can't hold a name that is not yet defined
            Annotated[str, _STRICT],
            Annotated[int, _STRICT],
            Annotated[bool, _STRICT],
            Annotated[float, _STRICT],
            Annotated[_LIST["Plain"], _STRICT],
            Annotated[_DICT[Annotated[str, _STRICT], "Plain"], _STRICT],
            Annotated[_TUPLE["Plain", ...], _STRICT],
        ],
        Field(union_mode="left_to_right"),
        _OneError(),
    ]
    | None,
)
"""The annotation of a value that must be plain JSON."""

_OPEN: Final = (Any, object, inspect.Parameter.empty)
_BARE: Final[dict[Any, Any]] = {
    dict: dict[str, Plain],
    list: list[Plain],
    tuple: tuple[Plain, ...],
    set: set[Plain],
    frozenset: frozenset[Plain],
    deque: deque[Plain],
}


def settled(annotation: Any) -> Any:
    """Return the annotation with `Plain` for whatever it leaves open, also inside containers."""
    if any(annotation is one for one in _OPEN) or isinstance(annotation, TypeVar):
        return Plain
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not arguments:
        return _BARE.get(origin or annotation, annotation)
    if origin is Annotated:
        return Annotated[(settled(arguments[0]), *arguments[1:])]
    if origin is Union or origin is types.UnionType:
        return Union[tuple(map(settled, arguments))]  # noqa: UP007  # made at run time
    if isinstance(origin, type) and getattr(origin, "__module__", "") in ("builtins", "collections", "collections.abc"):
        return origin[_inside(origin, arguments)]  # type: ignore[index]  # a generic of the standard library
    return annotation


def _inside(origin: type, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Settle a container's arguments; an open key is a str, as all JSON keys are."""
    if len(arguments) == 2 and issubclass(origin, dict) and arguments[0] in _OPEN:
        return (str, settled(arguments[1]))
    return tuple(one if one is Ellipsis else settled(one) for one in arguments)


def where_not_plain(value: object, path: str = "") -> tuple[str, object] | None:
    """Return the place of the first part that is not plain JSON, as `.key[2]`, and that part; None if all is."""
    if value is None or isinstance(value, str | int | float):
        return None
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                return f"{path} key", key
            if found := where_not_plain(inner, f"{path}.{key}"):
                return found
        return None
    if isinstance(value, list | tuple):
        places = (where_not_plain(inner, f"{path}[{place}]") for place, inner in enumerate(value))
        return next((found for found in places if found), None)
    return path, value
