"""What a worker runs: the functions that are *defined* in the modules its owner named.

The table is made once, at start; a name from the wire only looks something up in it. A module's
imported names are not walked: a function is offered if its `__module__` is the module it was found
in and its `__qualname__` the name it was found under, and that name is public: a leading underscore
keeps a function at home. So does the `__all__` of a module that only its package's name led to, if it
says one. An agent never imports user code: it asks a
child process what the table would hold (`offers_in_subprocess`).
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

from taskgrid.errors import BY_CODE, FunctionRefused, TaskGridError
from taskgrid.functions.code import code_version
from taskgrid.functions.conventions import called_through
from taskgrid.functions.decorator import options_of
from taskgrid.functions.naming import load_main
from taskgrid.functions.reduction import Merge, Merging
from taskgrid.functions.runner import MAX_RESULT, Runner
from taskgrid.model.job import CodeVersion, TaskOptions

Offer = tuple[str, CodeVersion, TaskOptions]
"""A function's name, whose code it is, and what `@task` says of it."""

IMPORT_TIME: Final = 120.0
"""Seconds that importing all offered modules may take."""


class Offers:
    """The table of functions that this process runs."""

    def __init__(self, functions: dict[str, Callable[..., Any]], *, max_result: int = MAX_RESULT) -> None:
        """Take functions by name; `max_result` is the most bytes a value's JSON may have."""
        self._functions = functions
        self._runners: dict[tuple[str, str], Runner] = {}
        self._mergings: dict[tuple[str, Merge], Merging] = {}
        self._max_result = max_result

    @classmethod
    def of(
        cls,
        modules: Sequence[str],
        *,
        paths: Sequence[Path | str] = (),
        main: Path | None = None,
        max_result: int = MAX_RESULT,
    ) -> Offers:
        """Import the modules, and packages with all their modules, and offer the functions defined in them.

        The current folder and then `paths` go first on this process's module path. `main` is a script
        whose functions are offered too. Raises FunctionRefused, with the folders looked in, if one
        can't be imported.
        """
        _extend_path(paths)
        named = [_imported(name) for name in modules]
        functions = [f for module in named for f in (*_defined_in(module), *_defined_below(module))]
        if main is not None:
            functions += _defined_in(_loaded_main(main))
        return cls({f"{f.__module__}:{f.__name__}": f for f in functions}, max_result=max_result)

    def names(self) -> list[str]:
        """Return the names of all functions offered, sorted."""
        return sorted(self._functions)

    def code(self, name: str, *, refresh: bool = False) -> CodeVersion:
        """Return whose code a function is; `refresh` looks at the files again."""
        return code_version(self.function(name), refresh=refresh)

    def options(self, name: str) -> TaskOptions:
        """Return what `@task` says of a function."""
        return options_of(self.function(name))

    def runner(self, name: str, *, through: str = "") -> Runner:
        """Return the runner of a function, called `through` a convention if one is named.

        Raises FunctionRefused if it is not offered or can't be typed.
        """
        if (name, through) not in self._runners:
            function = called_through(through, self.function(name))
            self._runners[name, through] = Runner(function, max_result=self._max_result)
        return self._runners[name, through]

    def merging(self, name: str, merge: Merge) -> Merging:
        """Return what merges values of a function; FunctionRefused if it is not offered, or they have no JSON."""
        if (name, merge) not in self._mergings:
            self._mergings[name, merge] = Merging(self.function(name), merge, self._max_result)
        return self._mergings[name, merge]

    def close(self) -> None:
        """Close all runners."""
        for runner in self._runners.values():
            runner.close()
        self._runners.clear()

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function; FunctionRefused if it is not offered."""
        if name not in self._functions:
            raise FunctionRefused(
                f"{name} is not offered here",
                why=f"Offered are {', '.join(self.names()[:20]) or 'no functions'}.",
                hint="Start the worker with --functions naming its module.",
            )
        return self._functions[name]


def offers_in_subprocess(
    modules: Sequence[str],
    paths: Sequence[Path | str] = (),
    *,
    main: Path | None = None,
    within: float = IMPORT_TIME,
) -> list[Offer]:
    """Return what `Offers.of` would offer, without importing user code into this process.

    Raises what it would raise; FunctionRefused too if that takes longer than `within` seconds, or ends its process.
    One that is killed is tried once more.
    """
    request = {"modules": list(modules), "paths": [str(path) for path in paths], "main": main and str(main)}
    command = [sys.executable, "-c", "from taskgrid.functions.offers import _answer; _answer()"]
    child = _imported_apart(command, json.dumps(request).encode(), within)
    if child is not None and child.returncode == -signal.SIGKILL:  # somebody else's doing: the kernel's, for memory
        child = _imported_apart(command, json.dumps(request).encode(), within)
    if child is None:
        raise FunctionRefused(
            f"importing {', '.join(modules)} took longer than {within:g} s",
            hint="Move what runs at import time into functions.",
        )
    if child.returncode or not child.stdout:
        status = child.returncode
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        raise FunctionRefused(
            f"importing {', '.join(modules)} went wrong: its process {how}",
            why=child.stderr.decode(errors="replace")[-2000:].strip(),
        )
    return _read_answer(json.loads(child.stdout))


def _imported_apart(command: list[str], request: bytes, within: float) -> subprocess.CompletedProcess[bytes] | None:
    """Ask a process of its own; None if it takes longer."""
    try:
        return subprocess.run(  # noqa: S603  # this interpreter, and the request goes by stdin
            command, input=request, capture_output=True, timeout=within, check=False
        )
    except subprocess.TimeoutExpired:
        return None


def _read_answer(answer: dict[str, Any]) -> list[Offer]:
    if "error" in answer:
        error = answer["error"]
        raise BY_CODE.get(error["code"], TaskGridError)(error["message"], why=error["why"], hint=error["hint"])
    return [
        (name, CodeVersion.model_validate(code), TaskOptions.model_validate(options))
        for name, code, options in answer["offers"]
    ]


def _answer() -> None:
    """Answer one `offers_in_subprocess`; what user code prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    try:
        main = request["main"] and Path(request["main"])
        offers = Offers.of(request["modules"], paths=request["paths"], main=main)
        answer: dict[str, Any] = {"offers": [_described(offers, name) for name in offers.names()]}
    except TaskGridError as error:
        answer = {"error": {"code": error.code, "message": error.message, "why": error.why, "hint": error.hint}}
    with out:
        json.dump(answer, out)


def function_named(name: str, paths: Sequence[Path | str] = ()) -> Callable[..., Any]:
    """Import a function here, as a worker does, and return it; FunctionRefused if that can't be."""
    module, _, qualname = name.partition(":")
    _extend_path(paths)
    found: Callable[..., Any] | None = getattr(_imported(module), qualname, None)
    if not isinstance(found, FunctionType):
        raise FunctionRefused(f"{module} has no function {qualname!r}", hint="Name it as MODULE:FUNCTION.")
    return found


def _described(offers: Offers, name: str) -> tuple[str, Any, Any]:
    return name, offers.code(name).model_dump(mode="json"), offers.options(name).model_dump(mode="json")


def _extend_path(paths: Sequence[Path | str]) -> None:
    folders = [str(Path(path).absolute()) for path in (Path.cwd(), *paths)]
    sys.path[:] = [*folders, *(entry for entry in sys.path if entry not in ("", *folders))]


def _defined_below(package: ModuleType) -> Iterator[FunctionType]:
    for found in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
        if found.name.endswith(".__main__"):  # importing that would run a program
            continue
        module = _imported(found.name)
        public = getattr(module, "__all__", None)
        yield from (f for f in _defined_in(module) if public is None or f.__name__ in public)
        yield from _defined_below(module)


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # user code may raise anything
        raise _refused(f"the module {name}", error) from None


def _loaded_main(file: Path) -> ModuleType:
    try:
        return load_main(file)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # user code may raise anything
        raise _refused(str(file), error) from None


def _refused(what: str, error: BaseException) -> FunctionRefused:
    if isinstance(error, ModuleNotFoundError):
        return FunctionRefused(
            f"{what} can't be imported: {error}",
            why=f"Looked in {', '.join(sys.path)}.",
            hint="Start in the folder that holds it, or name that folder with --path.",
        )
    frames = "".join(traceback.format_exception(error, limit=-3)).strip()
    return FunctionRefused(f"{what} can't be imported: {type(error).__name__}: {error}", why=frames)


def _defined_in(module: ModuleType) -> Iterator[FunctionType]:
    for name, thing in vars(module).items():
        if name.startswith("_") or not isinstance(thing, FunctionType):
            continue
        if thing.__module__ == module.__name__ and thing.__qualname__ == name:
            yield thing
