"""The page that says what is defended names tests, and those tests exist and run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROW = re.compile(r"^\| (?P<line>[^|]+) \| [^|]+ \| (?P<tests>`test_[^|]+) \|$", re.MULTILINE)
NAME = re.compile(r"`(test_\w+)`")


def _tests(root: Path) -> dict[str, list[ast.FunctionDef]]:
    found: dict[str, list[ast.FunctionDef]] = {}
    for file in (root / "tests").rglob("test_*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.setdefault(node.name, []).append(node)
    return found


def test_every_line_of_defence_names_tests_that_exist(root: Path) -> None:
    """A promise whose test was renamed or removed is noticed here."""
    page = (root / "SECURITY.md").read_text(encoding="utf-8")
    rows = {row["line"]: NAME.findall(row["tests"]) for row in ROW.finditer(page)}
    assert len(rows) >= 15
    assert all(rows.values())
    there = _tests(root)
    assert not sorted({name for names in rows.values() for name in names} - set(there))
    assert set(NAME.findall(page)) <= set(there)


def test_no_line_of_defence_rests_on_a_test_that_is_left_out(root: Path) -> None:
    """What shows a defence runs in `make test`, not behind a switch."""
    page = (root / "SECURITY.md").read_text(encoding="utf-8")
    there = _tests(root)
    optional = [
        name
        for name in NAME.findall(page)
        for node in there.get(name, [])
        for mark in node.decorator_list
        if re.search(r"skip|xfail|slow", ast.unparse(mark))
    ]
    assert not optional
