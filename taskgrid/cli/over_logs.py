"""The commands of `logs` from their run to what is printed: values and lines on stdout, talk on stderr."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, closing
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer
from pydantic_core import to_json

from taskgrid.cli import door
from taskgrid.cli.over_files import followed, summary
from taskgrid.cli.tables import print_table
from taskgrid.cli.terminal import say
from taskgrid.files.execution import cause_of
from taskgrid.files.run import Run
from taskgrid.logs import FieldCounts, Found, matches_of, pages
from taskgrid.logs.fields import text
from taskgrid.logs.report import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from taskgrid.cli.options import At
    from taskgrid.cli.over_files import Shown
    from taskgrid.files.asking import Asked
    from taskgrid.files.results import Result
    from taskgrid.files.wish import Settled


_WIDEST: Final = 200
"""Characters of a value in a table."""


def merged(at: At, settled: Settled) -> Any:
    """Return what all logs come to, and how many files failed; leave with 1 if all did."""
    with door.link(at) as (link, settings):
        run = Run(link, settled, settings.max_payload_bytes)
        with followed(run, again=settled.ledger is not None):
            value = run.result()
    say(summary(run.report))
    if value is None:
        raise typer.Exit(1)
    return value, run.report.failed


def show_counts(counts: FieldCounts, field: str, top: int) -> None:
    """Print the values that occur most, with their share of the lines that have the field."""
    total = counts.lines - counts.bad_lines - counts.absent
    rows = [(f"{hits:,}", f"{100 * hits / total:.1f}", short(value, _WIDEST)) for value, hits in counts.values.top(top)]
    print_table((field, "%", "value"), rows)
    others = len(counts.values.counts) - len(rows)
    parts = [
        f"{counts.lines:,} lines",
        f"{counts.bad_lines:,} bad" if counts.bad_lines else "",
        f"{counts.absent:,} without a {field}" if counts.absent else "",
        f"{others:,} more values: --top shows them" if others else "",
        f"each may lack up to {counts.values.missed:,}: there are too many values" if counts.values.missed else "",
    ]
    say(", ".join(part for part in parts if part))


class Show(NamedTuple):
    """How matching lines are printed."""

    only_count: bool
    most: int | None
    filename: bool
    as_json: bool


def search(at: At, settled: Settled, show: Show) -> int:
    """Print the matching lines of all files as they come, in order; return how many files failed."""
    with ExitStack() as stack:
        link, settings = stack.enter_context(door.link(at))
        run = Run(link, settled, settings.max_payload_bytes)
        shown = stack.enter_context(followed(run, again=False))
        printing = _Printing(show, run, settled.wish.arguments, shown)
        for path, results in groupby(run, key=lambda result: result.path):
            printing.file(path, results)
            if printing.left == 0:
                break
    if printing.left != 0:
        say(summary(run.report))
    return run.report.failed + printing.failed


class _Printing:
    """Prints what files have, until there were enough lines."""

    def __init__(self, show: Show, run: Run, arguments: Mapping[str, Any], shown: Shown) -> None:
        self.left = show.most
        """How many lines are yet to be printed; None for any number."""
        self.failed = 0
        """Slices that could not be searched to their end."""
        self._show = show
        self._run = run
        self._arguments = arguments
        self._shown = shown

    def file(self, path: Path, results: Iterator[Result]) -> None:
        """Print what one file has, given its slices' results in order."""
        good = [result.value for result in results if not result.error] if self._show.only_count else None
        if good is not None:
            self._write([_count(path, sum(found.hits for found in good), self._show)] if good else ())
            return
        firsts = (result.value for result in results if not result.error)
        with closing(pages.in_order(firsts, self._ask)) as found:
            for page in found:
                if isinstance(page, BaseException):
                    self.failed += 1
                    say(f"failed: {path}: {cause_of(page)}")
                elif self._has_enough(path, page):
                    return

    def _has_enough(self, path: Path, page: Found) -> bool:
        lines = page.found()[: self.left]
        self._write(_lines(path, lines, self._show))
        if self.left is not None:
            self.left -= len(lines)
        return self.left == 0

    def _ask(self, page: Found) -> Asked:
        given = self._arguments
        call = (page.source, given["pattern"], given["ignore_case"], False, page.next)
        return self._run.asker.begin(matches_of, [call])

    def _write(self, lines: Iterable[bytes]) -> None:
        if together := b"".join(lines):
            self._shown.make_room()
            sys.stdout.buffer.write(together)
            sys.stdout.buffer.flush()


def _lines(path: Path, lines: list[bytes], show: Show) -> Iterator[bytes]:
    if show.as_json:
        yield from (to_json({"input": str(path), "line": text(line)}) + b"\n" for line in lines)
    else:
        prefix = _prefix(path, show)
        yield from (prefix + line + b"\n" for line in lines)


def _count(path: Path, hits: int, show: Show) -> bytes:
    if show.as_json:
        return to_json({"input": str(path), "hits": hits}) + b"\n"
    return b"%b%d\n" % (_prefix(path, show), hits)


def _prefix(path: Path, show: Show) -> bytes:
    """Return what stands before a line: its file, as a person here would write it."""
    here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return os.fsencode(here) + b":" if show.filename else b""
