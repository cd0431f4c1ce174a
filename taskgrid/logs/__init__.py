"""Log processing that ships with TaskGrid: what a log adds up to, what it counts, which lines match.

These are ordinary task functions, offered by every worker that was not told otherwise. Three take a
path, and read the file where the worker is:

    taskgrid map taskgrid.logs:access_summary /var/log/nginx/access.log*

Three take a slice of a file: what `taskgrid logs` runs, and `taskgrid files` can:

    taskgrid files taskgrid.logs:summary_of '/var/log/nginx/*' --reduce merge

Files may be compressed in any way. Each returns a result that merges; `taskgrid.logs.report` shows a
summary. What they do per block is in `access`, `counting` and `searching`, as pure functions. Nothing
here knows of masters or jobs.
"""

from __future__ import annotations

from pathlib import Path

from taskgrid.files import FileSlice, plan
from taskgrid.logs import access, counting, messages, searching
from taskgrid.logs.counting import FieldCounts
from taskgrid.logs.excerpts import Found, excerpt
from taskgrid.logs.formats import Format, has_requests, named, recognised
from taskgrid.logs.reading import BLOCK
from taskgrid.logs.searching import LIMIT, Match, Matches
from taskgrid.logs.summary import AccessSummary, LogSummary
from taskgrid.merging import Tally

__all__ = [
    "AccessSummary",
    "FieldCounts",
    "Found",
    "LogSummary",
    "Match",
    "Matches",
    "Tally",
    "access_summary",
    "count_field",
    "counts_of",
    "grep_lines",
    "matches_of",
    "summary_of",
]

_BEGINNING = 64 << 10
"""Stored bytes of a file that its format is told by."""


def access_summary(path: Path) -> AccessSummary:
    """Summarise an Apache or nginx access log (common or combined format) in under 1 MiB of JSON.

    Lines that are no access log lines are counted as bad. Raises what reading a slice does: `OSError`,
    FileDamaged, FileChanged and RecordTooLong.
    """
    return access.summarise(_whole(path).blocks(BLOCK))


def count_field(path: Path, field: str, log_format: str = "") -> FieldCounts:
    """Count the values of a field of a log of this format, or of the one that its first lines have.

    Raises what `access_summary` does, and UsageError if there is no such format or field.
    """
    return counts_of(_whole(path), field, log_format)


def grep_lines(path: Path, pattern: str, limit: int = LIMIT) -> Matches:
    """Find the lines that match a regular expression, with where they stand in the file, decoded if it is compressed.

    Raises what `access_summary` does, and UsageError if the pattern is no regular expression.
    """
    return searching.grep(_whole(path).blocks(BLOCK), pattern, source=str(path), limit=limit)


def summary_of(slice: FileSlice, log_format: str = "") -> LogSummary:  # noqa: A002  # the word of the glossary
    """Summarise a slice of any log: by its requests if most lines of the file's beginning have one, else by messages.

    Raises what reading a slice does, and UsageError if the format is none that is known.
    """
    log = _format_of(slice, log_format)
    files = int(slice.start == 0)
    if log is None:
        return LogSummary(files=files)
    if has_requests(log, _beginning_of(slice)):
        return LogSummary(**dict(access.summarised(slice.blocks(BLOCK), log, files=files)))
    return messages.summarised(slice.blocks(BLOCK), log, files=files)


def counts_of(slice: FileSlice, field: str, log_format: str = "") -> FieldCounts:  # noqa: A002  # likewise
    """Count the values of a field in a slice of a log of this format, or of the one that the file begins with.

    Raises what reading a slice does, and UsageError if there is no such format or field.
    """
    log = _format_of(slice, log_format)
    return counting.count(slice.blocks(BLOCK), field, log) if log else FieldCounts()


def matches_of(
    slice: FileSlice,  # noqa: A002  # likewise
    pattern: str,
    ignore_case: bool = False,
    only_count: bool = False,
    after: int = 0,
) -> Found:
    """Find the lines of a slice that match a regular expression, as many as have room; or only count them.

    `after` is `Found.next` of what came before. Raises what reading a slice does, and UsageError if the
    pattern is no regular expression.
    """
    search = searching.Search(pattern, ignore_case=ignore_case)
    found = excerpt(slice.blocks(BLOCK), search, after=after, only_count=only_count)
    return found if found.next is None else found.model_copy(update={"source": slice})


def _whole(path: Path) -> FileSlice:
    return next(plan(path, "none"))


def _format_of(slice_: FileSlice, log_format: str) -> Format | None:
    """Return the format of a file's lines; None if it has none.

    It is told by the file's beginning, so that all its slices are read alike.
    """
    if log_format:
        return named(log_format)
    first = _beginning_of(slice_)
    return recognised(first) if first else None


def _beginning_of(slice_: FileSlice) -> bytes:
    beginning = slice_.model_copy(update={"start": 0, "end": min(_BEGINNING, slice_.identity.size)})
    return next(beginning.blocks(), b"")
