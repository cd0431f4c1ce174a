"""What a name from the wire or the journal can reach: functions that a worker's owner offered, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from taskgrid.errors import FunctionRefused
from taskgrid.functions.offers import Offers, offers_in_subprocess

TASKS = Path(__file__).parents[1] / "faults"
OFFERED = ["door_tasks:outer", "door_tasks:square"]
WANTED = [
    "os:system",
    "posix:system",
    "builtins:eval",
    "subprocess:run",
    "door_tasks:os.system",
    "door_tasks:system",
    "door_tasks:ALIAS",
    "door_tasks:execute",
    "door_tasks:renamed",
    "door_tasks:nested",
    "door_tasks:outer.<locals>.inner",
    "door_tasks:_private",
    "door_tasks:__dunder__",
    "door_tasks:Tools",
    "door_tasks:Tools.shell",
    "door_tasks:square.__call__",
    "door_tasks:square.__globals__",
    "door_tasks:__builtins__",
    "door_tasks:__loader__",
    "door_tasks:MODULES",
    "door_tasks",
    "door_tasks:",
    ":square",
    ":",
    "",
    "door_tasks:square ",
    "door_tasks:squar\u0435",
    "../door_tasks:square",
    "door_tasks.square",
    "square",
    "__main__:square",
]


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> Offers:
    """Offer a module that imports, nests and hides more than it offers."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    return Offers.of(["door_tasks"], paths=[TASKS])


def test_only_functions_defined_in_the_module_are_offered(offers: Offers) -> None:
    """Imports, aliases, classes, nested and private functions are not; the agent's table says the same."""
    assert offers.names() == OFFERED
    assert [name for name, _, _ in offers_in_subprocess(["door_tasks"], [TASKS])] == OFFERED
    assert offers.runner("door_tasks:square") is not None


@pytest.mark.parametrize("name", WANTED)
def test_a_name_that_is_not_in_the_table_is_refused_and_not_looked_for(
    offers: Offers, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a journal or a master names: no import, no attribute, no walk; it is in the table or refused."""
    monkeypatch.setattr("importlib.import_module", _must_not_be_called)
    for ask in (offers.runner, offers.code, offers.options):
        with pytest.raises(FunctionRefused, match="is not offered here"):
            ask(name)


def _must_not_be_called(name: str) -> None:
    raise AssertionError(f"{name} was imported")
