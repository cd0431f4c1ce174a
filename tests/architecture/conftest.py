"""The sources as trees, for the tests that hold them to the house's rules."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Source:
    """One module of the package."""

    path: Path
    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """Return the room that the module stands in; the package's own front door is `taskgrid`."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else parts[0]

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Return everything in the tree."""
        return list(ast.walk(self.tree))


def _source(path: Path) -> Source:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(part for part in parts if part != "__init__")
    text = path.read_text(encoding="utf-8")
    return Source(path.relative_to(ROOT), name, text, ast.parse(text))


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the whole project."""
    return ROOT


@pytest.fixture(scope="session")
def sources() -> list[Source]:
    """Return every module of the package."""
    found = [_source(path) for path in sorted((ROOT / "taskgrid").rglob("*.py"))]
    assert found
    return found
