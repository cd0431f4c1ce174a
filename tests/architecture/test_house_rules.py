"""Sizes, names, docstrings, clocks: the rules of the house that a machine can hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Source

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
LONGEST_CLASS = 250
BANNED = re.compile(r"(^|_)(utils?|helpers?|common|misc)(_|$)|^base_")
TIMELESS = {"scheduler", "journal", "model", "lifecycle", "master"}


def _functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Count a definition's body without its docstring: a command's parameters are its manual, not its logic."""
    documented = ast.get_docstring(node) is not None and len(node.body) > 1
    return (node.end_lineno or 0) - node.body[documented].lineno + 2


def test_files_are_short(sources: list[Source]) -> None:
    """A file can be read in one sitting."""
    long = {str(source.path): count for source in sources if (count := source.text.count("\n")) > LONGEST_FILE}
    assert not long


def test_functions_are_short(sources: list[Source]) -> None:
    """No function needs scrolling, and the usual one is a few lines."""
    sizes = {
        f"{source.path}:{node.lineno} {node.name}": _lines(node) for source in sources for node in _functions(source)
    }
    assert not {name: size for name, size in sizes.items() if size > LONGEST_FUNCTION}
    assert sorted(sizes.values())[len(sizes) // 2] <= 8


def test_classes_are_short(sources: list[Source]) -> None:
    """A class has one duty."""
    long = {
        f"{source.path}:{node.lineno} {node.name}": _lines(node)
        for source in sources
        for node in source.nodes
        if isinstance(node, ast.ClassDef) and _lines(node) > LONGEST_CLASS
    }
    assert not long


def test_each_module_says_what_it_is_for(sources: list[Source]) -> None:
    """A visitor learns from the first lines whether this is the place."""
    silent = [str(source.path) for source in sources if not (ast.get_docstring(source.tree) or "").strip()]
    assert not silent


def test_names_say_something(sources: list[Source]) -> None:
    """Nothing is called utils, helpers, common, misc or base_*."""
    modules = [source.name for source in sources if any(map(BANNED.search, source.name.split(".")))]
    functions = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in sources
        for node in _functions(source)
        if BANNED.search(node.name)
    ]
    assert not modules + functions


def test_one_module_reads_the_clock(sources: list[Source]) -> None:
    """What the grid decides by time takes a `Clock`; a monotonic clock serves local deadlines, and nothing sleeps."""
    wrong = [
        f"{source.path}:{node.lineno}: time.{node.attr}"
        for source in sources
        if source.name != "taskgrid.clock"
        for node in source.nodes
        if isinstance(node, ast.Attribute) and _is_time(node.value) and not _may_read(source.room, node.attr)
    ]
    named = [
        f"{source.path}:{node.lineno}: from time import ..."
        for source in sources
        for node in source.nodes
        if isinstance(node, ast.ImportFrom) and node.module == "time"
    ]
    assert not wrong + named, "\n".join(wrong + named)


def _may_read(room: str, name: str) -> bool:
    if name in {"time", "time_ns", "sleep"}:
        return False
    return room not in TIMELESS or name not in {"monotonic", "monotonic_ns"}


def _is_time(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "time"


def test_only_the_command_line_prints(sources: list[Source]) -> None:
    """Daemons log events, libraries are quiet."""
    wrong = [
        f"{source.path}:{node.lineno}"
        for source in sources
        if source.room != "cli"
        for node in source.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not wrong


def test_every_silence_has_its_reason(sources: list[Source]) -> None:
    """A `noqa` or a `type: ignore` names its rule and says why on the same line."""
    silence = re.compile(r"#\s*(noqa|type:\s*ignore)")
    explained = re.compile(r"#\s*(noqa:\s*[A-Z0-9, ]+|type:\s*ignore\[[\w\-, ]+\])\s+#\s*\S|#.*#.*#\s*\S")
    wrong = [
        f"{source.path}:{number}: {line.strip()}"
        for source in sources
        for number, line in enumerate(source.text.splitlines(), 1)
        if silence.search(line) and not explained.search(line)
    ]
    assert not wrong, "\n".join(wrong)
