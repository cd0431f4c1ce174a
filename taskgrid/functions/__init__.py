"""Functions: how they are marked, named, typed, versioned, offered and run.

A function is a module-level Python function, named `module:qualname`. Here is all that client and
worker share about it: what `@task` says, what its annotations make of arguments and values, whose
code it is, and the one place where a call becomes an outcome. The room knows nothing of jobs,
leases, wires or processes. Nothing is imported until it is asked for: a module that only says
`@task` costs no pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskgrid.functions.code import code_version
    from taskgrid.functions.current import current_task, set_current
    from taskgrid.functions.decorator import declared_version, options_of, task, title_of
    from taskgrid.functions.failures import exception_of, failure_of
    from taskgrid.functions.naming import main_module_file, main_name, name_of
    from taskgrid.functions.offers import Offers, offers_in_subprocess
    from taskgrid.functions.runner import Runner
    from taskgrid.functions.signature import NamedSignature, Signature

__all__ = [
    "NamedSignature",
    "Offers",
    "Runner",
    "Signature",
    "code_version",
    "current_task",
    "declared_version",
    "exception_of",
    "failure_of",
    "main_module_file",
    "main_name",
    "name_of",
    "offers_in_subprocess",
    "options_of",
    "set_current",
    "task",
    "title_of",
]

_HOMES = {
    "NamedSignature": "signature",
    "Offers": "offers",
    "Runner": "runner",
    "Signature": "signature",
    "code_version": "code",
    "current_task": "current",
    "declared_version": "decorator",
    "exception_of": "failures",
    "failure_of": "failures",
    "main_module_file": "naming",
    "main_name": "naming",
    "name_of": "naming",
    "offers_in_subprocess": "offers",
    "options_of": "decorator",
    "set_current": "current",
    "task": "decorator",
    "title_of": "decorator",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'taskgrid.functions' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # nothing before it is asked for

    value = getattr(import_module(f"taskgrid.functions.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
