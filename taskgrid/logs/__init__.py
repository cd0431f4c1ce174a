"""Log processing that ships with TaskGrid: what a log adds up to, what it counts, which lines match.

These are ordinary task functions, offered by every worker that was not told otherwise:

    taskgrid map taskgrid.logs:access_summary /var/log/nginx/access.log*

Each reads a file where the worker is, plain or gzip, and returns a result that merges;
`taskgrid.logs.report` prints a summary. What they do per block is in `access`, `counting` and
`searching`, as pure functions. Nothing here knows of masters or jobs.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from taskgrid.logs import access, counting, searching
from taskgrid.logs.counting import FieldCounts
from taskgrid.logs.formats import named, recognised
from taskgrid.logs.reading import file_blocks
from taskgrid.logs.searching import LIMIT, Match, Matches
from taskgrid.logs.summary import AccessSummary
from taskgrid.merging import Tally

__all__ = ["AccessSummary", "FieldCounts", "Match", "Matches", "Tally", "access_summary", "count_field", "grep_lines"]


def access_summary(path: Path) -> AccessSummary:
    """Summarise an Apache or nginx access log (common or combined format, plain or gzip) in under 1 MiB of JSON.

    Lines that are no access log lines are counted as bad. Raises `OSError`, `EOFError` or
    `zlib.error` if the file can't be read to its end.
    """
    return access.summarise(file_blocks(path))


def count_field(path: Path, field: str, log_format: str = "") -> FieldCounts:
    """Count the values of a field of a log of this format, or of the one that its first lines have.

    Raises what `access_summary` does, and UsageError if there is no such format or field.
    """
    blocks = file_blocks(path)
    first = next(blocks, b"")
    log = named(log_format) if log_format else recognised(first)
    return counting.count(chain((first,), blocks), field, log)


def grep_lines(path: Path, pattern: str, limit: int = LIMIT) -> Matches:
    """Find the lines that match a regular expression, with where they stand in the file (unpacked, if it is gzip).

    Raises what `access_summary` does, and UsageError if the pattern is no regular expression.
    """
    return searching.grep(file_blocks(path), pattern, source=str(path), limit=limit)
