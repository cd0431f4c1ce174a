"""What a submission asks for: a function's name, its way to and from JSON, its options, its code.

Made once per function and kept: none of it costs anything per task. A function given by name needs
not be importable here; its arguments and values are plain JSON then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taskgrid.client.outcomes import Codec
from taskgrid.client.owner import owner
from taskgrid.functions import (
    NamedSignature,
    Signature,
    code_version,
    name_of,
    options_of,
    task,
    title_of,
)
from taskgrid.model import CodeVersion, JobId, JobSpec, Reduce, TaskOptions, new_id

Function = Callable[..., Any] | str
"""A module-level function, or the name of one as `module:qualname`."""


@dataclass(frozen=True, slots=True, eq=False)
class Callee:
    """A function as it is submitted; compared by identity."""

    name: str
    title: str
    codec: Codec
    options: TaskOptions
    code: CodeVersion

    def spec(
        self,
        options: TaskOptions | None = None,
        *,
        key: str | None = None,
        title: str | None = None,
        reduce: Reduce | None = None,
    ) -> JobSpec:
        """Return a new job's spec, its options those of the function unless given."""
        return JobSpec(
            id=JobId(new_id()),
            function=self.name,
            name=title or self.title,
            options=self.options if options is None else options,
            code=self.code,
            owner=owner(),
            key=key,
            reduce=reduce,
        )

    def with_options(self, changes: dict[str, Any]) -> TaskOptions:
        """Return the function's options with `changes`, read as `@task` reads them."""
        kept = {field: getattr(self.options, field) for field in TaskOptions.model_fields}
        return options_of(task(**{**kept, **changes})(_carrier())) if changes else self.options


def callee_of(function: Function, max_payload: int) -> Callee:
    """Return what is submitted for `function`; FunctionRefused if no worker could find it."""
    if isinstance(function, str):
        signature = NamedSignature(function, max_payload=max_payload)
        return Callee(function, function.rpartition(":")[2], signature, TaskOptions(), CodeVersion())
    name = name_of(function)
    signature = Signature.of(function, max_payload=max_payload)
    return Callee(name, title_of(function), signature, options_of(function), code_version(function))


def _carrier() -> Callable[[], None]:
    return lambda: None
