"""A run whose results are given as they are found: each slice's as soon as it and all before it have ended.

Nothing is remembered or put together, so nothing of a file is kept until all of it is there, and one slice
that failed takes nothing of the others along.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

from taskgrid.files.agenda import Place
from taskgrid.files.calling import Done
from taskgrid.files.execution import FileEnded, cause_of
from taskgrid.files.planning import bounds
from taskgrid.files.remembered import Planned
from taskgrid.files.report import Report, Trouble
from taskgrid.files.results import Form, Result

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

Pieces = Iterator[tuple[Planned, Iterator[Done[Any] | BaseException]]]


def as_found(
    places: Sequence[Place], files: Pieces, form: Form, report: Report, troubles: list[Trouble]
) -> Iterator[Result]:
    """Yield what came of each slice of the files at their places, errors in theirs; enter what they come to."""
    for place in places:
        trouble = place.trouble
        if place.is_read:
            planned, pieces = next(files)
            trouble = yield from _of_one(planned, pieces, form, report)
        else:
            seen = place.finding.seen
            yield Result(seen.path, 0, seen.size, None, b"", trouble.cause if trouble else "it is not read")
        if trouble is not None:
            report.failed += 1
            troubles.append(trouble)


def _of_one(
    planned: Planned, pieces: Iterator[Done[Any] | BaseException], form: Form, report: Report
) -> Generator[Result, None, Trouble | None]:
    """Yield the results of a file; return the first trouble."""
    entry, trouble = planned.entry, None
    read: list[Done[Any]] = []
    for place, piece in zip(bounds(entry.start, entry.identity.size, entry.slices), pieces, strict=True):
        if isinstance(piece, BaseException):
            cause = cause_of(piece)
            trouble = trouble or Trouble(entry.path, cause, f"bytes {place[0]} to {place[1]}")
            yield Result(entry.path, *place, None, b"", cause)
        else:
            read.append(piece.model_copy(update={"value": None}))
            yield form.result(entry.path, place, piece.value)
    if trouble is None:
        report.add(FileEnded(planned, read))
    return trouble
