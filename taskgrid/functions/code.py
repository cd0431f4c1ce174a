"""Whose code a function is: a hash over the source that running it would import.

The hash covers the function's module, its parent packages and whatever they import in turn, as long as
it is neither the standard library's nor installed: of installed packages it takes name and version.
Imports are read from the syntax tree and found by the import system's finders; nothing is executed.
What counts is module names and text, so the same files in another folder, on another machine or under
another Python have the same hash. TaskGrid itself does not count: machines are upgraded one at a time.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Final

from taskgrid.functions.decorator import declared_version
from taskgrid.functions.naming import MAIN, main_module_file, main_name
from taskgrid.model.job import CodeVersion

_SHORT: Final = 12
"""Hex digits of a source's hash that are shown."""
_versions: dict[tuple[str, str], CodeVersion] = {}
_sources: dict[tuple[str, int, int], _Source] = {}


@dataclass(frozen=True, slots=True)
class _Source:
    """A file as it was when it was read."""

    digest: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]
    """(level, module, names) of each import statement in it."""


def code_version(function: Callable[..., Any], *, refresh: bool = False) -> CodeVersion:
    """Return the version of a function's code, as first seen by this process; `refresh` looks at the files again."""
    if declared := declared_version(function):
        return CodeVersion(version=declared)
    module = function.__module__
    name, file = module, getattr(sys.modules.get(module), "__file__", None) or ""
    if module == "__main__" and (script := main_module_file()):
        name, file = main_name(script), str(script)
    key = (name, file)
    if refresh or key not in _versions:
        _versions[key] = _version(name, Path(file) if file else None)
    return _versions[key]


def _version(module: str, file: Path | None) -> CodeVersion:
    sources: dict[str, str] = {}
    seen: set[str] = set()
    waiting = [*_parents(module), module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        # The function's own module is where it was loaded from; all others are where the finders say.
        origin = file if name == module and file is not None else _origin(name)
        waiting.extend(_enter(name, origin, sources))
    lines = (f"{name}={value}\n" for name, value in sorted(sources.items()))
    short = {name: value[:_SHORT] for name, value in sorted(sources.items())}
    return CodeVersion(version=hashlib.sha256("".join(lines).encode()).hexdigest()[:32], sources=short)


def _enter(name: str, origin: Path | None, sources: dict[str, str]) -> Iterable[str]:
    """Note a module in `sources` and return what it imports; nothing further for an installed one."""
    top = name.partition(".")[0]
    if origin is None or top in sys.stdlib_module_names or (top == "taskgrid" and sources):
        return ()
    if top == "taskgrid" or _is_installed(origin):
        package, version = _distribution(top)
        sources[package] = version
        return ()
    if origin.suffix != ".py":
        sources[name] = "compiled"
        return ()
    source = _read(origin)
    sources[name] = source.digest
    package = name if origin.name == "__init__.py" else name.rpartition(".")[0]
    return list(_imported(source, package))


def _read(file: Path) -> _Source:
    facts = file.stat()
    key = (str(file), facts.st_mtime_ns, facts.st_size)
    if key not in _sources:
        text = file.read_bytes().replace(b"\r\n", b"\n")
        _sources[key] = _Source(hashlib.sha256(text).hexdigest(), tuple(_imports(text)))
    return _sources[key]


def _imports(text: bytes) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # of another Python's syntax; the text itself is in the hash
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)


def _imported(source: _Source, package: str) -> Iterator[str]:
    """Yield the names of all modules that a file in `package` may import, and those around them."""
    for level, module, names in source.imports:
        parent = package.rsplit(".", level - 1)[0] if level > 1 else package
        base = module if not level else f"{parent}.{module}".strip(".")
        yield from _parents(base)
        yield base
        yield from (f"{base}.{name}" for name in names if name != "*")


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _origin(name: str) -> Path | None:
    """Return a module's file, without importing anything; None if it is no module or has no file."""
    spec = _spec(name)
    if name == MAIN or spec is None or not spec.has_location or not spec.origin:
        return None
    return Path(spec.origin)


def _spec(name: str) -> ModuleSpec | None:
    parent, _, _ = name.rpartition(".")
    if not name or (name.partition(".")[0] in sys.stdlib_module_names):
        return None
    path = None
    if parent:
        around = _spec(parent)
        if around is None or around.submodule_search_locations is None:
            return None
        path = list(around.submodule_search_locations)
    found = (finder.find_spec(name, path) for finder in sys.meta_path)
    return next((spec for spec in found if spec is not None), None)


def _is_installed(file: Path) -> bool:
    return any(file.is_relative_to(folder) for folder in _installed_folders()) or "site-packages" in file.parts


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple({Path(paths[kind]) for kind in ("purelib", "platlib", "stdlib", "platstdlib")})


def _distribution(top: str) -> tuple[str, str]:
    """Return name and version of the installed package that holds a top-level module."""
    names = [top, *_distributions().get(top, ())]
    for name in names:
        try:
            return name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return top, "unknown"


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
