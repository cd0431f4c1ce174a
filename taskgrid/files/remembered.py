"""What a ledger is told, and what it tells: of recipes, runs, files and what came of them.

Plain values; nothing here knows where they are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from taskgrid.files.identity import Identity

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


class Recipe(BaseModel):
    """What is done to files: what another function or other parameters would do is remembered apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: str
    code: str
    """The function's code hash: with another one, files are run again and replace what is remembered."""
    parameters: dict[str, JsonValue] = {}
    """Whatever else makes results or outputs differ."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that a run will read."""

    path: Path
    identity: Identity
    slices: int = 1
    start: int = 0
    """The stored byte at which reading begins: 0, or where the tail of a grown file does."""
    index: Path | None = None
    """The seek index by which it is cut."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A file of a run, and its place in it."""

    number: int
    """The file's place among the run's files, from 0."""
    entry: Entry
    first: int
    """The task with its first slice: its tasks are `range(first, first + entry.slices)`."""
    ended: bool
    """Whether what came of it is recorded."""


@dataclass(frozen=True, slots=True)
class Written:
    """An output of a file: `temporary` is renamed to `target` unless that was done."""

    target: Path
    temporary: Path
    bytes: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Done:
    """A planned file that succeeded whole."""

    number: int
    value: bytes | None = None
    """What its slices merged to; of a grown file, with what was remembered of its beginning."""
    outputs: tuple[Written, ...] = ()
    manifest: bytes = b""
    """Its lines of the run's manifest."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A planned file that failed."""

    number: int
    cause: str
    sample: str = ""
    """Some of what could not be read, for people."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of a file that is done."""

    path: Path
    value: bytes | None
    manifest: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """A file in quarantine."""

    path: Path
    cause: str
    sample: str
    failed_at: float


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that was begun and has not ended."""

    id: int
    recipe: Recipe
    key: str
    """The key of its job."""
    settings: dict[str, JsonValue]
    """What its plan was made with."""
    begun_at: float


def settings_of(places: Sequence[str]) -> dict[str, JsonValue]:
    """Return what a run keeps beside its plan: the folders that who reads its files must see.

    Who takes it up may have named others.
    """
    return {"places": [*places]}


def places_of(run: OpenRun) -> tuple[str, ...]:
    """Return the folders that who reads a run's files must see."""
    kept = run.settings.get("places")
    return tuple(map(str, kept)) if isinstance(kept, list) else ()
