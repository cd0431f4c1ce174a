"""The matrix and the tests know each other: no row without a test, no fault test without a row."""

from __future__ import annotations

import ast
from pathlib import Path

from matrix import MATRIX, TESTS

_OURSELVES = ("faults/test_matrix.py", "faults/test_proof.py")


def every_test() -> set[str]:
    """Return the names of all tests, as the matrix writes them."""
    return {test for path in TESTS.glob("*/test_*.py") for test in _tests_in(path)}


def _tests_in(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [f"{path.relative_to(TESTS)}::{name}" for name in names if name.startswith("test_")]


def test_every_row_names_tests_that_are_there() -> None:
    """A renamed test can't leave a row that nobody tries."""
    there = every_test()
    assert not [name for row in MATRIX for name in row.tests if name not in there and "*" not in name]
    assert all(row.tests for row in MATRIX)


def test_every_fault_test_belongs_to_a_row() -> None:
    """What is tried is said."""
    tests = [test for test in every_test() if test.startswith("faults/") and not test.startswith(_OURSELVES)]
    assert not [test for test in tests if not any(row.names(test) for row in MATRIX)]
