"""Log processing that ships with TaskGrid: what an access log adds up to.

`access_summary` is an ordinary task function, offered by every worker that was not told otherwise:

    taskgrid map taskgrid.logs:access_summary /var/log/nginx/access.log*

It reads a file where the worker is and returns a few kilobytes; `AccessSummary.merge` adds the
results up and `taskgrid.logs.report` prints them. Nothing here knows of masters or jobs.
"""

from __future__ import annotations

from pathlib import Path

from taskgrid.logs.access import read_access_log
from taskgrid.logs.summary import AccessSummary, Tally

__all__ = ["AccessSummary", "Tally", "access_summary"]


def access_summary(path: Path) -> AccessSummary:
    """Summarise an Apache or nginx access log (common or combined format, plain or gzip) in under 1 MiB of JSON.

    Lines that are no access log lines are counted as bad. Raises `OSError`, `EOFError` or
    `zlib.error` if the file can't be read to its end.
    """
    return read_access_log(path)
