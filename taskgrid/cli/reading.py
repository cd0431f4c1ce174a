"""`results`: what the tasks of a job gave, as lines of JSON, or why they failed."""

from __future__ import annotations

import sys
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskgrid.cli import pages
from taskgrid.cli.groups import grouped
from taskgrid.cli.options import At, Everyone, Format, JobSelector, Out, Output, Values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskgrid.cli.outcomes import Outcomes
    from taskgrid.cli.reader import Reader
    from taskgrid.client.link import Link
    from taskgrid.model import Failure, JobView, Run


@grouped
def results(
    job: JobSelector,
    *,
    at: At,
    failed: Annotated[bool, typer.Option("--failed", help="Only what failed, with tracebacks.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")] = False,
    values: Values = False,
    out: Out = None,
    output: Output = Format.TABLE,
    everyone: Everyone = False,
) -> None:
    """Print a job's results as lines of JSON, in order; of a job under way, as they came."""
    from taskgrid.cli import door, selectors, tables
    from taskgrid.cli.reader import Reader
    from taskgrid.client.control import Control
    from taskgrid.model import JobId

    named = selectors.parse_single(job)
    with door.link(at) as (link, _):
        control = Control(link.control)
        view = door.one_job(control, named, everyone=everyone)
        reader = Reader(link, JobId(view.id), view.number)
        found = _outcomes(reader, view, named.runs, wait=wait)
        if view.reduce and not failed:
            _print_merged(link, view, named.runs, out, wait=wait)
        elif failed:
            _print_failures(reader, found, view, output)
        else:
            _print_results(reader, found, out, values=values)
        view = door.one_job(control, named._replace(first=view.number, last=view.number, word=""))
    if not view.complete:
        _say_incomplete(view)
    bad = tables.failed(view) or (view.complete and not tables.succeeded(view))
    raise typer.Exit(1 if bad else 0)


def _outcomes(reader: Reader, view: JobView, runs: Sequence[Run], *, wait: bool) -> Iterator[Outcomes]:
    if not view.complete and not wait:
        yield from _chosen(reader.so_far(), runs)
        return
    for run in runs or (None,):
        yield from reader.in_order(run)


def _chosen(found: Iterator[Outcomes], runs: Sequence[Run]) -> Iterator[Outcomes]:
    from taskgrid.cli.reader import within

    for outcomes in found:
        pieces = (within(outcomes, start, stop) for start, stop in runs) if runs else (outcomes,)
        yield from (piece for piece in pieces if piece.stop > piece.first)


def _print_results(reader: Reader, found: Iterator[Outcomes], out: Path | None, *, values: bool) -> None:
    from taskgrid.cli.outcomes import as_objects, as_values
    from taskgrid.cli.reader import writing

    with writing(out) as target:
        for outcomes in found:
            lines = as_values(outcomes) if values else as_objects(outcomes, reader.payloads(outcomes.run))
            target.write(b"\n".join(lines) + b"\n")
        target.flush()


def _print_merged(link: Link, view: JobView, runs: Sequence[Run], out: Path | None, *, wait: bool) -> None:
    from taskgrid.cli.merged import Merged
    from taskgrid.errors import UsageError
    from taskgrid.model import JobId

    if runs:
        raise UsageError(
            f"job {view.number} merges its values, so its tasks have no results of their own",
            hint=f"taskgrid results {view.number}",
        )
    merged = Merged(view.function, view.reduce)
    merged.write(link, JobId(view.id), view.number, out, so_far=not (view.complete or wait))


def _print_failures(reader: Reader, found: Iterator[Outcomes], view: JobView, output: Format) -> None:
    from taskgrid.cli.outcomes import failure_object, failure_text
    from taskgrid.cli.tables import print_json

    # The last outcome of a task counts: one that was retried may have failed before.
    latest: dict[int, Failure] = {}
    for outcomes in found:
        for index in latest.keys() & range(*outcomes.run):
            del latest[index]
        latest.update(outcomes.failures())
    failures = sorted(latest.items(), key=itemgetter(0))
    told = ((f"{view.number}.{index}", failure, _payload(reader, index)) for index, failure in failures)
    if output is Format.JSON:
        print_json([failure_object(*one) for one in told])
    else:
        sys.stdout.writelines(failure_text(*one) for one in told)


def _payload(reader: Reader, index: int) -> bytes:
    return reader.payloads((index, index + 1))[0]


def _say_incomplete(view: JobView) -> None:
    from taskgrid.cli.tables import ended
    from taskgrid.cli.terminal import say

    say(f"job {view.number} is under way: {ended(view):,} of {view.total:,} tasks have ended; --wait waits for all")


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    examples = pages.example("taskgrid results last --values", "taskgrid results 17 --failed", "taskgrid results 17.42")
    app.command(rich_help_panel=pages.WORK, epilog=examples)(results)
