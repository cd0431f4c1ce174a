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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Final

from taskgrid.functions.decorator import declared_version
from taskgrid.functions.naming import module_of
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
    file = getattr(sys.modules.get(function.__module__), "__file__", None) or ""
    key = (module_of(function), file)
    if refresh:
        _spec.cache_clear()
    if refresh or key not in _versions:
        _versions[key] = _version(key[0], Path(file) if file else None)
    return _versions[key]


def _version(module: str, file: Path | None) -> CodeVersion:
    sources = _Walk(module, file).sources()
    lines = "".join(f"{name}={value}\n" for name, value in sources.items())
    short = {name: value[:_SHORT] for name, value in sources.items()}
    return CodeVersion(version=hashlib.sha256(lines.encode()).hexdigest()[:32], sources=short)


class _Walk:
    """The way from one module through all that it imports."""

    def __init__(self, module: str, file: Path | None) -> None:
        self._module = module
        self._file = file
        self._sources: dict[str, str] = {}
        self._closed = (sys.stdlib_module_names | {"taskgrid"}) - {_top(module)}
        """Top-level modules not to be entered."""

    def sources(self) -> dict[str, str]:
        """Return the digest of each module's source, and the version of each installed package, sorted."""
        seen: set[str] = set()
        waiting = [*_parents(self._module), self._module]
        while waiting:
            name = waiting.pop()
            if name not in seen and _top(name) not in self._closed:
                waiting.extend(self._enter(name))
            seen.add(name)
        return dict(sorted(self._sources.items()))

    def _enter(self, name: str) -> Iterable[str]:
        """Note a module and return what it imports; nothing further for an installed one."""
        origin = self._origin(name)
        if origin is None:
            return ()
        if _top(name) == "taskgrid" or _is_installed(origin):
            package, version = _distribution(_top(name), origin)
            self._sources[package] = version
            return ()
        if origin.suffix != ".py":
            self._sources[name] = "compiled"
            return ()
        source = _read(origin)
        self._sources[name] = source.digest
        package = name if origin.name == "__init__.py" else name.rpartition(".")[0]
        return list(_imported(source, package))

    def _origin(self, name: str) -> Path | None:
        """Return a module's file; None if it is no module or has no file."""
        if name == self._module and self._file is not None:
            return self._file  # where it was loaded from; all others are where the finders say
        spec = _spec(name)
        return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


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


@functools.lru_cache(maxsize=4096)
def _spec(name: str) -> ModuleSpec | None:
    """Find a module as importing it would, without importing anything."""
    parent, _, _ = name.rpartition(".")
    path = None
    if parent:
        around = _spec(parent)
        if around is None or around.submodule_search_locations is None:
            return None
        path = list(around.submodule_search_locations)
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None


def _top(name: str) -> str:
    return name.partition(".")[0]


def _is_installed(file: Path) -> bool:
    if "site-packages" in file.parts or "dist-packages" in file.parts:
        return True
    return any(file.is_relative_to(folder) for folder in _installed_folders())


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple({Path(paths[kind]) for kind in ("purelib", "platlib", "stdlib", "platstdlib")})


def _distribution(top: str, file: Path) -> tuple[str, str]:
    """Return name and version of the installed package that a file of a top-level module belongs to."""
    try:
        return top, importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:
        names = sorted(set(_distributions().get(top, ())))
    owner = names[0] if len(names) == 1 else next((name for name in names if _owns(name, file)), None)
    return (owner, importlib.metadata.version(owner)) if owner else (top, "unknown")


def _owns(name: str, file: Path) -> bool:
    """Tell which of several packages that share a namespace has the file."""
    distribution = importlib.metadata.distribution(name)
    return any(Path(str(distribution.locate_file(one))) == file for one in distribution.files or ())


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()
