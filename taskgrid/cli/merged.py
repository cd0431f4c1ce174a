"""The one result of a job that merges its values, as a line of JSON; its functions are imported here for that."""

from __future__ import annotations

import inspect
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from taskgrid.cli.reader import writing
from taskgrid.cli.terminal import say
from taskgrid.client.reduced import Reduction
from taskgrid.client.results import Deadline, Source
from taskgrid.errors import TaskFailed
from taskgrid.functions import Signature
from taskgrid.functions.offers import function_named
from taskgrid.functions.signature import codec_of, hints_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskgrid.client.link import Link
    from taskgrid.model import JobId, JobNumber


class Merged:
    """What a job's values come to, for who knows its functions by name; FunctionRefused if they can't be imported."""

    def __init__(self, function: str, how: str) -> None:
        self._function: Callable[..., Any] = function_named(function)
        self._codec = Signature.of(self._function)
        self._reduction = Reduction(self._function, how)

    def write(self, link: Link, job: JobId, number: JobNumber, out: Path | None, *, so_far: bool = False) -> None:
        """Write the one result, of what is there now or once the job has ended; say which task stands in its way."""
        reduced = self._reduction.of(Source(link, job, number, self._codec))
        try:
            value = reduced.partial() if so_far else reduced.result(Deadline(None))
        except (TaskFailed, CancelledError) as error:
            say(str(error))
            return
        with writing(out) as target:
            target.write(self._line(value) + b"\n")
            target.flush()

    def _line(self, value: Any) -> bytes:
        if value is None:
            return b"null"
        returned = hints_of(self._function).get("return", inspect.Parameter.empty)
        return codec_of(returned, f"the value of {self._function.__qualname__}").encode(value)
