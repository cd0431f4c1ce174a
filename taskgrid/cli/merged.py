"""The one result of a job that merges its values, as a line of JSON; its functions are imported here for that."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from taskgrid.cli.reader import writing
from taskgrid.cli.terminal import say
from taskgrid.client.reduced import Reduction
from taskgrid.client.results import Deadline, Source
from taskgrid.errors import TaskGridError, UsageError
from taskgrid.functions import Signature
from taskgrid.functions.codec import BadValue, Codec
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
            failed = None if so_far else reduced.wait(Deadline(None))
            line = self._line(reduced.partial())
        except (TaskGridError, OSError):
            raise
        except Exception as error:
            raise UsageError(
                f"the values of job {number} can't be merged: {type(error).__name__}: {error}",
                hint="Mend the function that merges them, and ask for `taskgrid results` again.",
            ) from error
        if failed is not None:
            index, why = failed
            say(f"there is no result: task {number}.{index} has none ({type(why).__name__}: {why})")
            return
        with writing(out) as target:
            target.write(line + b"\n")
            target.flush()

    def _line(self, value: Any) -> bytes:
        if value is None:
            return b"null"
        returned = hints_of(self._function).get("return", inspect.Parameter.empty)
        try:
            return codec_of(returned, f"the value of {self._function.__qualname__}").encode(value)
        except BadValue:  # as the number of a function's True values, which is none of them
            return Codec(inspect.Parameter.empty).encode(value)
