"""`@task`: a function's options, kept on the function itself.

The decorator returns the very function it was given, callable and typed as before; what was said
lies in one attribute. A function without it is as good: it has the default options.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, overload

from taskgrid.functions.quantities import duration, size

if TYPE_CHECKING:
    from taskgrid.model.job import Backoff, TaskOptions

F = TypeVar("F", bound=Callable[..., Any])

_ATTRIBUTE = "__taskgrid__"


@dataclass(frozen=True, slots=True)
class Mark:
    """What `@task` said of a function."""

    options: TaskOptions | None = None
    """None: the defaults, without importing the model that knows them."""
    name: str = ""
    version: str = ""


@overload
def task(function: F, /) -> F: ...


@overload
def task(
    *,
    time_limit: timedelta | float | str | None = None,
    max_attempts: int = 1,
    backoff: Backoff | timedelta | float | str | None = None,
    priority: int = 0,
    alone: bool = False,
    memory_limit: int | str | None = None,
    name: str = "",
    version: str = "",
) -> Callable[[F], F]: ...


def task(function: F | None = None, /, *, name: str = "", version: str = "", **options: Any) -> F | Callable[[F], F]:
    """Give a function options for when it runs as a task; it stays the function it was.

    `time_limit` is a timedelta, seconds, or text such as `90s`; `memory_limit` bytes, or text such as
    `2GiB`; `backoff` a `Backoff`, or the first wait. `version` replaces the hash over the source.
    Raises UsageError for a value that makes no sense.
    """
    mark = Mark(_options(options) if options else None, name, version)

    def keep(function: F) -> F:
        setattr(function, _ATTRIBUTE, mark)
        return function

    return keep if function is None else keep(function)


def options_of(function: Callable[..., Any]) -> TaskOptions:
    """Return the options that `@task` gave the function, or the defaults."""
    from taskgrid.model.job import TaskOptions  # noqa: PLC0415  # pydantic, only when asked for

    return mark_of(function).options or TaskOptions()


def title_of(function: Callable[..., Any]) -> str:
    """Return what a person calls the function: `@task(name=...)`, else its own name."""
    return mark_of(function).name or function.__name__


def declared_version(function: Callable[..., Any]) -> str:
    """Return `@task(version=...)`, or an empty text."""
    return mark_of(function).version


def mark_of(function: Callable[..., Any]) -> Mark:
    """Return what `@task` said of the function."""
    mark = getattr(function, _ATTRIBUTE, None)
    return mark if isinstance(mark, Mark) else Mark()


def _options(given: dict[str, Any]) -> TaskOptions:
    from pydantic import ValidationError  # noqa: PLC0415  # only where options are given

    from taskgrid.errors import UsageError  # noqa: PLC0415  # likewise
    from taskgrid.model.job import TaskOptions  # noqa: PLC0415  # likewise

    unknown = given.keys() - TaskOptions.model_fields.keys()
    if unknown:
        raise UsageError(
            f"@task has no option {', '.join(sorted(unknown))}",
            hint=f"It has {', '.join([*TaskOptions.model_fields, 'name', 'version'])}.",
        )
    try:
        return TaskOptions.model_validate({key: _READERS.get(key, _as_is)(value) for key, value in given.items()})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"@task({first['loc'][0]}={first['input']!r}): {first['msg']}") from None


def _backoff(value: Backoff | timedelta | float | str | None) -> Backoff:
    from taskgrid.model.job import Backoff  # noqa: PLC0415  # pydantic, only where options are given

    if value is None:
        return Backoff()
    if isinstance(value, Backoff):
        return value
    first = duration(value)
    return Backoff(first=first, most=max(first, Backoff().most))


def _as_is(value: object) -> object:
    return value


_READERS: dict[str, Callable[[Any], object]] = {
    "time_limit": lambda value: None if value is None else duration(value),
    "memory_limit": lambda value: None if value is None else size(value),
    "backoff": _backoff,
}
