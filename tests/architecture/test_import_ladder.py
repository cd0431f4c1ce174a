"""Each room knows only the rooms below it, and a few libraries live in one room only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Source

LADDER = (
    {"lifecycle", "model", "errors", "clock", "disks", "settings", "loading", "functions"},
    {"scheduler"},
    {"journal"},
    {"transport"},
    {"client", "master", "worker"},
    {"testing", "merging", "lines"},
    {"files", "integrations"},
    {"logs"},
    {"grid"},
    {"cli", "web"},
)
"""From the ground up; rooms of one step don't know each other, except on the ground."""

FRONT_DOOR = {"taskgrid", "__main__"}
"""What users import and `python -m taskgrid`: they may name any room."""

KEPT_IN = {
    "typer": {"cli"},
    "tenacity": {"transport"},
    "multiprocessing.managers": {"transport"},
    "sqlite3": {"journal", "master", "files"},  # the stock port's queues and a run's ledger have files of their own
    "cryptography": {"transport"},
    "numpy": {"lines"},  # an extra, as the next two: no room that a worker imports as a whole may need one
    "pyarrow": {"lines"},
    "datasketches": {"merging"},
}


def _step(room: str) -> int:
    return next(number for number, rooms in enumerate(LADDER) if room in rooms)


def _imported(source: Source) -> Iterator[tuple[int, str]]:
    for node in source.nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.path}:{node.lineno}: imports are absolute here"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _may_know(room: str, other: str) -> bool:
    if room in FRONT_DOOR or other in (room, "taskgrid"):
        return True
    below = _step(other) < _step(room)
    return below or (_step(room) == _step(other) == 0)


def test_every_room_has_its_place(sources: list[Source]) -> None:
    """A new room is put on the ladder before it is built."""
    known = set().union(*LADDER) | FRONT_DOOR
    assert {source.room for source in sources} <= known


def test_each_room_knows_only_the_rooms_below_it(sources: list[Source]) -> None:
    """Master, worker and client never import each other, and nothing imports upward."""
    wrong = [
        f"{source.path}:{line}: {source.room} imports {name}"
        for source in sources
        for line, name in _imported(source)
        if name.startswith("taskgrid.") and not _may_know(source.room, _room_of(name, sources))
    ]
    assert not wrong, "\n".join(wrong)


def _room_of(name: str, sources: list[Source]) -> str:
    room = name.split(".")[1]
    return room if any(source.room == room for source in sources) else "taskgrid"


def test_only_the_front_door_imports_the_front_door(sources: list[Source]) -> None:
    """`from taskgrid import ...` is for users: inside, a name is taken from the room that defines it."""
    allowed = FRONT_DOOR | {"cli", "logs", "testing", "integrations"}
    wrong = [
        f"{source.path}:{line}: {name}"
        for source in sources
        if source.room not in allowed
        for line, name in _imported(source)
        if name.startswith("taskgrid.") and _room_of(name, sources) == "taskgrid" and name != "taskgrid.__version__"
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", KEPT_IN)
def test_a_library_stays_in_its_room(library: str, sources: list[Source]) -> None:
    """What a library does for us is behind one room's own words."""
    wrong = [
        f"{source.path}:{line}: {name}"
        for source in sources
        if source.room not in KEPT_IN[library]
        for line, name in _imported(source)
        if f"{name}.".startswith(f"{library}.")
    ]
    assert not wrong, "\n".join(wrong)


def test_the_core_does_no_input_or_output(sources: list[Source]) -> None:
    """The scheduler and what it stands on read no clock, file, socket or environment and start no thread."""
    outside = (
        "time",
        "socket",
        "threading",
        "os",
        "pathlib",
        "sqlite3",
        "asyncio",
        "subprocess",
        "multiprocessing",
        "random",
    )
    wrong = [
        f"{source.path}:{line}: {name}"
        for source in sources
        if source.room in {"scheduler", "model", "lifecycle", "errors"}
        for line, name in _imported(source)
        if name.split(".")[0] in outside
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_reads_pickles(sources: list[Source]) -> None:
    """No bytes are ever unpickled; one module writes pickles, for textbook clients."""
    readers = {"load", "loads", "Unpickler"}
    wrong = [
        f"{source.path}:{node.lineno}"
        for source in sources
        for node in source.nodes
        if isinstance(node, ast.Attribute)
        and node.attr in readers
        and _root_name(node) in {"pickle", "marshal", "shelve"}
    ]
    importers = {source.name for source in sources for _, name in _imported(source) if name.split(".")[0] == "pickle"}
    assert not wrong
    assert importers <= {"taskgrid.transport.stock.encode"}


def _root_name(node: ast.Attribute) -> str:
    return node.value.id if isinstance(node.value, ast.Name) else ""
