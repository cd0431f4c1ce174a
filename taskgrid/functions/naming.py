"""What a function is called: `module:qualname`, and which functions can have a name at all.

A name must lead any process with the same files back to the same function. So a function must be
defined at the top of a module that lies in a file. A script's `__main__` is called after its file,
as it would be if it were imported; `load_main` loads it under that name, without running what is
under `if __name__ == "__main__"`.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

from taskgrid.errors import FunctionRefused

MAIN: Final = "__taskgrid_main__"
"""What a script is called whose file's name is no module name, or is another module's."""


def name_of(function: Callable[..., Any]) -> str:
    """Return the function's name, `module:qualname`; FunctionRefused if it can't have one."""
    _refuse_what_is_no_function(function)
    what = function.__qualname__
    if function.__name__ == "<lambda>":
        raise FunctionRefused("a lambda has no name by which a worker could find it", hint="Write it as a def.")
    if "<locals>" in what:
        raise FunctionRefused(
            f"{what.replace('.<locals>', '')} is defined inside another function, where no worker finds it",
            hint="Move it to the top level of its module; what it took from around it becomes an argument.",
        )
    if "." in what:
        raise FunctionRefused(f"{what} is defined in a class", hint="Move it to the top level of its module.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise FunctionRefused(f"{what} is a generator", hint="Let it return a list.")
    _refuse_what_its_module_does_not_hold(function)
    return f"{module_of(function)}:{what}"


def _refuse_what_is_no_function(function: Callable[..., Any]) -> None:
    if isinstance(function, functools.partial):
        raise FunctionRefused(
            "a partial has no name by which a worker could find it",
            hint="Write a def that makes the call, or pass the fixed arguments with each item.",
        )
    if inspect.ismethod(function):
        raise FunctionRefused(
            f"{function.__qualname__} is bound to {type(function.__self__).__name__}, which stays in this process",
            hint="Write a module-level function that takes what it needs as arguments.",
        )
    if inspect.isbuiltin(function):
        raise FunctionRefused(f"{function.__name__} is built in and has no source", hint="Wrap it in a def.")
    if not isinstance(function, FunctionType):
        raise FunctionRefused(f"{function!r} is not a function", hint="Pass a module-level function.")


def _refuse_what_its_module_does_not_hold(function: Callable[..., Any]) -> None:
    module = sys.modules.get(function.__module__)
    if function.__module__ == "__main__" and main_module_file() is None and _main_spec_name() is None:
        raise FunctionRefused(
            f"{function.__qualname__} was typed at a prompt or in a notebook cell, where no worker can find it",
            hint="Put it into a .py file beside the notebook and import it from there.",
        )
    if getattr(module, function.__qualname__, None) is not function:
        raise FunctionRefused(
            f"{function.__module__}:{function.__qualname__} is not this function",
            why="A decorator or a later definition replaced it, or its module was not imported as usual.",
            hint="Pass the function that stands under that name in its module.",
        )


def module_of(function: Callable[..., Any]) -> str:
    """Return the name under which any process imports the function's module."""
    if function.__module__ != "__main__":
        return function.__module__
    file = main_module_file()
    return main_name(file) if file else _main_spec_name() or MAIN


def _main_spec_name() -> str | None:
    """Return the module's name of a program started by `python -m`."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if spec is not None else None


def main_module_file() -> Path | None:
    """Return the file of the script that was started; None at a prompt, in a notebook, after `python -m`."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if _main_spec_name() is not None or not file:
        return None
    path = Path(file).absolute()
    return path if path.is_file() else None


def main_name(file: Path) -> str:
    """Return what the functions of a started script are called after: its file's name if that can be a module."""
    stem = file.stem
    usable = stem.isidentifier() and stem not in sys.stdlib_module_names and stem != "taskgrid"
    return stem if usable and file.suffix == ".py" else MAIN


def load_main(file: Path) -> ModuleType:
    """Load a script as the module that `main_name` names, its folder first on the module path.

    Raises whatever the script raises when it is loaded.
    """
    name, folder = main_name(file), str(file.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    loader = importlib.machinery.SourceFileLoader(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    if spec is None:
        raise FunctionRefused(f"{file} can't be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module
