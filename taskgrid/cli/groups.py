"""Options that go together, written once: a command takes a group of them as one parameter.

A group is a NamedTuple whose fields are options with defaults. `grouped` shows typer the fields in
the group's place and hands the command the group. Knows no option.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from inspect import Parameter
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the options of its groups as parameters of its own."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if hasattr(hint, "_fields")}

    @wraps(command)
    def called(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field: given.pop(field) for field in group._fields})
        command(**given)

    shown = [each for one in inspect.signature(command).parameters.values() for each in _shown(one, hints[one.name])]
    called.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]  # what inspect looks for
    called.__annotations__ = {each.name: each.annotation for each in shown}
    return called


def _shown(parameter: Parameter, hint: Any) -> Iterator[Parameter]:
    if not hasattr(hint, "_fields"):
        yield parameter.replace(annotation=hint)
        return
    hints = get_type_hints(hint, include_extras=True)
    for field in hint._fields:
        yield Parameter(field, Parameter.KEYWORD_ONLY, default=hint._field_defaults[field], annotation=hints[field])
