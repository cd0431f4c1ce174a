"""The page of limits and metrics has every limit, its default as the code has it, and tests that exist."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from named_tests import NAME, left_out, named_in

from taskgrid.cli.prometheus import exposition
from taskgrid.model import GridView, LimitView
from taskgrid.settings import GridSettings, MasterSettings, Settings, WorkerSettings

if TYPE_CHECKING:
    from conftest import Source

ROW = re.compile(
    r"^\| `(?P<setting>\w+)`(?: of the (?P<whose>\w+))? \| (?P<default>[^|]*) ?\|[^|]+\|[^|]+\| (?P<tests>[^|]+) \|$",
    re.MULTILINE,
)
WHOSE: dict[str | None, type[Settings]] = {None: MasterSettings, "worker": WorkerSettings, "client": GridSettings}


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    """Return the page's text."""
    return (root / "docs" / "limits.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generate(root: Path) -> ModuleType:
    """Return the program that writes the reference, which knows how a default is written."""
    spec = importlib.util.spec_from_file_location("generate", root / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _first_arguments(sources: list[Source], name: str) -> set[str]:
    """Return the constant first arguments of all calls of a function or method of that name."""
    calls = [node for source in sources for node in ast.walk(source.tree) if isinstance(node, ast.Call) and node.args]
    named = [call.args[0] for call in calls if getattr(call.func, "attr", getattr(call.func, "id", "")) == name]
    return {str(value.value) for value in named if isinstance(value, ast.Constant)}


def test_every_limit_that_is_metered_or_refuses_is_on_the_page(sources: list[Source], page: str) -> None:
    """Nobody is refused by a name that the page or the settings do not know."""
    shown = {row["setting"] for row in ROW.finditer(page)}
    metered, refusing = _first_arguments(sources, "watch"), _first_arguments(sources, "how_to_raise")
    assert len(metered) >= 12
    assert len(refusing) >= 7
    assert metered | refusing <= shown
    assert refusing <= metered


def test_defaults_on_the_page_are_those_of_the_settings(page: str, generate: ModuleType) -> None:
    """A default that was changed is changed here, too."""
    for row in ROW.finditer(page):
        field = WHOSE[row["whose"]].model_fields[row["setting"]]
        assert row["default"].strip() == generate.default_of(row["setting"], field), row["setting"]


def test_limits_on_the_page_are_shown_by_tests_that_run(root: Path, page: str) -> None:
    """Each limit is reached for real somewhere."""
    named = [name for row in ROW.finditer(page) for name in NAME.findall(row["tests"])]
    assert len(named) == len(list(ROW.finditer(page)))
    assert set(named) <= set(named_in(root))
    assert not left_out(root, named)


def test_metrics_on_the_page_are_those_that_are_given(page: str) -> None:
    """What a dashboard is built from by the page is there."""
    limit = LimitView(setting="max_queued", most=1, used=0)
    zeros = dict.fromkeys(("queued", "leased", "delayed", "jobs", "open_jobs", "workers", "slots", "busy"), 0)
    view = GridView(
        version="1", started_at=0, now=0, epoch=1, durability="", journal="", rate=0, limits=(limit,), **zeros
    )
    given = set(re.findall(r"^# TYPE (\w+)", exposition(view), re.MULTILINE))
    assert given == set(re.findall(r"`(taskgrid_\w+)(?:\{\w+=\u2026\})?`", page))
