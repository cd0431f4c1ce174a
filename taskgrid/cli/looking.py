"""Commands that look: `status`, `jobs`, `explain`, `workers`, `health`.

Each is parse, one call, render. Nothing here changes anything on the grid.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from taskgrid.cli import pages
from taskgrid.cli.groups import grouped
from taskgrid.cli.options import At, Everyone, Format, JobSelector, Output, StatusFormat, StatusOutput

if TYPE_CHECKING:
    from taskgrid.cli.selectors import Named
    from taskgrid.model import Explanation, JobView


@grouped
def status(*, at: At, output: StatusOutput = StatusFormat.TABLE) -> None:
    """Show the whole grid on one screen: tasks, jobs, workers, rate, limits, and what needs attention."""
    from taskgrid.cli import door, tables
    from taskgrid.cli.prometheus import exposition

    with door.control(at) as grid:
        view = grid.status()
    match output:
        case StatusFormat.JSON:
            tables.print_json(view.model_dump(mode="json"))
        case StatusFormat.PROMETHEUS:
            sys.stdout.write(exposition(view))
        case StatusFormat.TABLE:
            tables.grid_page(view)


@grouped
def jobs(
    jobs: Annotated[list[str] | None, typer.Argument(metavar="JOB", help="17, 3,5-8, last, all.")] = None,
    *,
    at: At,
    output: Output = Format.TABLE,
    everyone: Everyone = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest that many.")] = 100,
) -> None:
    """List jobs, newest first: how far they are, what failed, whose they are."""
    from taskgrid.cli import door, selectors, tables

    named = selectors.parse(jobs or ["all"])
    with door.control(at) as grid:
        found = _newest_first(grid.jobs(*door.selected(grid, named, everyone=everyone), limit=limit))
        now = grid.status().now
        others = not found and not everyone and bool(grid.jobs(limit=1))
    if output is Format.JSON:
        tables.print_views(found)
        return
    tables.jobs_table(found, now)
    if others:
        _say("No job of yours; --everyone shows all.")


@grouped
def explain(
    job: JobSelector,
    *,
    at: At,
    output: Output = Format.TABLE,
    everyone: Everyone = False,
) -> None:
    """Say why a job or a task waits, where it runs, or how it ended."""
    from taskgrid.cli import door, selectors, tables

    named = selectors.parse_single(job)
    with door.control(at) as grid:
        selector = door.selected(grid, [named], everyone=everyone)[0]
        explanation = grid.explain(selector.model_copy(update={"runs": ()}), _index(named))
    if output is Format.JSON:
        tables.print_json(explanation.model_dump(mode="json"))
    else:
        _tell(explanation)


@grouped
def workers(*, at: At, output: Output = Format.TABLE) -> None:
    """List workers and what they hold; a lost one is shown for an hour."""
    from taskgrid.cli import door, tables

    with door.control(at) as grid:
        found = grid.workers()
        now = grid.status().now
    if output is Format.JSON:
        tables.print_views(found)
        return
    tables.workers_table(found, now)
    if not found:
        _say("No worker is connected. Start one: taskgrid worker --functions MODULE")


@grouped
def health(*, at: At, output: Output = Format.TABLE) -> None:
    """Ask whether the master serves: exit status 0 if it does, 3 if not."""
    from taskgrid.cli import door, tables

    with door.control(at) as grid:
        reply = grid.health()
    if output is Format.JSON:
        tables.print_json(reply.model_dump(mode="json"))
    else:
        sys.stdout.write("ok\n" if reply.ok else f"not well: {reply.why}\n")
    raise typer.Exit(0 if reply.ok else 3)


def _newest_first(found: tuple[JobView, ...]) -> list[JobView]:
    return sorted(found, key=lambda job: job.number, reverse=True)


def _index(named: Named) -> int | None:
    from taskgrid.errors import UsageError

    if named.runs and named.task is None:
        raise UsageError(
            "explain takes a job or one task", hint=f"taskgrid explain {named.word or named.first}.{named.runs[0][0]}"
        )
    return named.task


def _tell(explanation: Explanation) -> None:
    from taskgrid.cli import tables

    sys.stdout.writelines(line + "\n" for line in (explanation.what, explanation.why) if line)
    if explanation.task is not None:
        tables.task_lines(explanation.task)
    if explanation.hint:
        sys.stdout.write(f"next: {explanation.hint}\n")


def _say(text: str) -> None:
    from taskgrid.cli.terminal import say

    say(text)


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    see = pages.SEE
    app.command(rich_help_panel=see, epilog=pages.example("taskgrid status", "taskgrid status -o prometheus"))(status)
    app.command(rich_help_panel=see, epilog=pages.example("taskgrid jobs", "taskgrid jobs all --everyone"))(jobs)
    app.command(rich_help_panel=see, epilog=pages.example("taskgrid explain last", "taskgrid explain 17.42"))(explain)
    app.command(rich_help_panel=see, epilog=pages.example("taskgrid workers"))(workers)
    app.command(rich_help_panel=see, epilog=pages.example("taskgrid health && echo serving"))(health)
