"""Where settings come from: a flag, `TASKGRID_*`, `./taskgrid.toml`, the user's own, the default.

In TOML a program has its own table, `[master]`, `[worker]` or `[grid]`; what stands above all tables
is for every program that has a setting of that name (as `server` and `key_file`). Each value keeps
its origin, so that an error names both the setting and the place it was read from. The models in
`settings.py` decide what is right; this module knows none of their fields.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from pydantic import ValidationError

from taskgrid.errors import UsageError
from taskgrid.functions.quantities import parse_duration, parse_size
from taskgrid.settings import GridSettings, MasterSettings, Settings, WorkerSettings, config_folder

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

AnySettings = TypeVar("AnySettings", bound=Settings)

PREFIX: Final = "TASKGRID_"
PROGRAMS: Final[Mapping[type[Settings], str]] = {
    MasterSettings: "master",
    WorkerSettings: "worker",
    GridSettings: "grid",
}
"""The TOML table of each program's settings."""


_FOUND_WITHOUT_SETTINGS: Final = frozenset({"server", "key_file"})


class Origin(NamedTuple):
    """Values read from one place, and how to name a field of it to a person."""

    place: str
    values: Mapping[str, Any]


def config_files() -> tuple[Path, ...]:
    """Return the TOML files that exist, the one that wins first."""
    candidates = (Path("taskgrid.toml"), config_folder() / "taskgrid.toml")
    return tuple(path for path in candidates if path.is_file())


def load(model: type[AnySettings], flags: Mapping[str, Any] | None = None) -> AnySettings:
    """Build the settings of a program; `flags` that are None count as not given.

    Raises `UsageError`, naming the field and the place its value came from.
    """
    given = Origin("flag", {name: value for name, value in (flags or {}).items() if value is not None})
    origins = [given, *_origins(model)]
    merged: dict[str, Any] = {}
    for origin in reversed(origins):
        merged.update({name: _readable(model, name, value, origin.place) for name, value in origin.values.items()})
    try:
        return model(**merged)
    except ValidationError as error:
        raise _explained(error, origins) from None


def grid_settings(flags: Mapping[str, Any] | None = None) -> GridSettings:
    """Build a client's settings; cheap when no file and no variable has any. Raises `UsageError`."""
    # `find_master` reads TASKGRID_SERVER and TASKGRID_KEY_FILE itself: health checks stay under 0.3 s.
    others = [name for name in GridSettings.model_fields if name not in _FOUND_WITHOUT_SETTINGS]
    if config_files() or any(PREFIX + name.upper() in os.environ for name in others):
        return load(GridSettings, flags)
    return GridSettings(**{name: value for name, value in (flags or {}).items() if value is not None})


def _origins(model: type[Settings]) -> Iterator[Origin]:
    files = config_files()
    named = {name for name in model.model_fields if PREFIX + name.upper() in os.environ}
    if named:
        yield Origin("environment", _from_environment(model))
    for path in files:
        yield from _from_file(model, path)


def _from_environment(model: type[Settings]) -> Mapping[str, Any]:
    # Imported here: it costs 0.15 s, and most commands find nothing to read.
    from pydantic_settings import BaseSettings, EnvSettingsSource  # noqa: PLC0415  # see above

    class Environment(EnvSettingsSource):
        """Lists are written with commas, folders as in PATH; everything else is left to the model."""

        def prepare_field_value(self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool) -> Any:  # noqa: ARG002  # the base class says so
            if not isinstance(value, str) or not str(field.annotation).startswith("tuple["):
                return value
            separator = os.pathsep if field_name == "path" else ","
            return tuple(part.strip() for part in value.split(separator) if part.strip())

    read: type[BaseSettings] = type(f"Read{model.__name__}", (model, BaseSettings), {"__module__": __name__})
    return Environment(read, env_prefix=PREFIX)()


def _from_file(model: type[Settings], path: Path) -> Iterator[Origin]:
    data = _read(path)
    program = PROGRAMS[model]
    shared = {name: value for name, value in data.items() if not isinstance(value, dict)}
    _refuse_unknown(path, data, shared)
    own = data.get(program, {})
    if not isinstance(own, dict):
        raise UsageError(f"{path}: {program} must be a table", hint=f"Write [{program}] and its settings below it")
    yield Origin(f"{path} [{program}]", own)
    yield Origin(str(path), {name: value for name, value in shared.items() if name in model.model_fields})


def _read(path: Path) -> dict[str, Any]:
    from pydantic_settings import BaseSettings, TomlConfigSettingsSource  # noqa: PLC0415  # slow to import, as above

    try:
        return dict(TomlConfigSettingsSource(BaseSettings, toml_file=path).toml_data)
    except (tomllib.TOMLDecodeError, OSError) as error:
        raise UsageError(f"{path} can't be read", why=str(error), hint="Correct the file, or move it away") from None


def _refuse_unknown(path: Path, data: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
    fields = {name for model in PROGRAMS for name in model.model_fields}
    tables = set(PROGRAMS.values())
    for name in data:
        if name in shared and name not in fields:
            raise UsageError(f"{path}: there is no setting {name!r}", hint=_meant(name, fields))
        if name not in shared and name not in tables:
            raise UsageError(f"{path}: there is no table [{name}]", hint=_meant(name, tables))


def _meant(name: str, known: set[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(sorted(known))}"


def _readable(model: type[Settings], name: str, value: Any, place: str) -> Any:
    """Turn `30s` and `2GiB` into what the model reads; leave the rest to it."""
    field = model.model_fields.get(name)
    if field is None or not isinstance(value, str):
        return value
    kind = str(field.annotation)
    try:
        if field.annotation is timedelta:
            return parse_duration(value)
        if "int" in kind and "str" not in kind and not value.lstrip("-").isdigit():
            return parse_size(value)
    except UsageError as error:
        raise _refused(_named(name, place), value, f"{error.message}. {error.hint}") from None
    return value


def _explained(error: ValidationError, origins: list[Origin]) -> UsageError:
    problem = error.errors()[0]
    name = str(problem["loc"][0]) if problem["loc"] else ""
    reason = problem["msg"].removeprefix("Value error, ")
    if not name:
        return UsageError("The settings contradict each other", why=reason, hint="Change one of the two")
    place = next((origin.place for origin in origins if name in origin.values), "default")
    if problem["type"] == "extra_forbidden":
        return UsageError(f"{place}: there is no setting {name!r}", why=_meant_of(error, name), hint=_LOOK)
    return _refused(_named(name, place), problem["input"], reason)


def _meant_of(error: ValidationError, name: str) -> str:
    model = next((model for model in PROGRAMS if model.__name__ == error.title), None)
    return _meant(name, set(model.model_fields)) if model else ""


_LOOK: Final = "Correct it there; docs/reference/settings.md lists every setting"


def _named(name: str, place: str) -> str:
    if place == "flag":
        return "--" + name.replace("_", "-")
    if place == "environment":
        return PREFIX + name.upper()
    return f"{name} in {place}"


def _refused(named: str, value: Any, reason: str) -> UsageError:
    return UsageError(f"{named} can't be {value!r}", why=reason, hint=_LOOK)
