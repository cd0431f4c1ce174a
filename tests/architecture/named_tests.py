"""Tests that pages name as their evidence: which there are, and which don't run in `make test`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

NAME = re.compile(r"`(test_\w+)`")


@cache
def named_in(root: Path) -> dict[str, list[ast.FunctionDef]]:
    """Return all tests by name."""
    found: dict[str, list[ast.FunctionDef]] = {}
    for file in (root / "tests").rglob("test_*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.setdefault(node.name, []).append(node)
    return found


def left_out(root: Path, names: Iterable[str]) -> list[str]:
    """Return those that a mark keeps from running, or lets fail."""
    return [
        name
        for name in names
        for node in named_in(root).get(name, [])
        for mark in node.decorator_list
        if re.search(r"skip|xfail|slow|in_\w+_only", ast.unparse(mark))
    ]
