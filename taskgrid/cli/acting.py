"""Commands that change jobs: `cancel`, `retry`, `forget`.

What may touch more than one job says first what it will touch, and asks; without a terminal it
wants `--yes`. The master does the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import typer

from taskgrid.cli import pages
from taskgrid.cli.groups import grouped
from taskgrid.cli.options import At, DryRun, Everyone, Format, Output, Selectors, Yes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskgrid.client.control import Control
    from taskgrid.transport.protocol import Selector, Touched

_WORDS: Final = {"cancel": "cancelled", "retry": "brought back", "forget": "forgot"}


class How(NamedTuple):
    """How carefully, and how what was done is told."""

    output: Output = Format.TABLE
    everyone: Everyone = False
    yes: Yes = False
    dry_run: DryRun = False


@grouped
def cancel(jobs: Selectors, *, at: At, how: How) -> None:
    """Take jobs or tasks back; what runs of them is stopped."""
    _act("cancel", jobs, at, how)


@grouped
def retry(jobs: Selectors, *, at: At, how: How) -> None:
    """Bring failed and cancelled tasks back, with the code that workers offer now."""
    _act("retry", jobs, at, how)


@grouped
def forget(jobs: Selectors, *, at: At, how: How) -> None:
    """Drop finished jobs with their results from the journal."""
    _act("forget", jobs, at, how)


def _act(verb: str, words: list[str], at: At, how: How) -> None:
    from taskgrid.cli import door, selectors, tables

    named = selectors.parse(words)
    with door.control(at) as grid:
        chosen = door.selected(grid, named, everyone=how.everyone)
        bulk = len(named) > 1 or any(one.many for one in named)
        if bulk and not how.yes and not how.dry_run:
            _ask(grid, verb, chosen)
        touched = _call(grid, verb)(*chosen, dry_run=how.dry_run)
    if how.output is Format.JSON:
        tables.print_views(touched)
    else:
        tables.touched_lines(touched, f"would {verb}" if how.dry_run else _WORDS[verb])


def _ask(grid: Control, verb: str, chosen: Sequence[Selector]) -> None:
    from taskgrid.cli.terminal import confirm, say
    from taskgrid.errors import UsageError

    would = _call(grid, verb)(*chosen, dry_run=True)
    tasks = sum(one.tasks for one in would)
    for one in would:
        say(f"  job {one.job.number} ({one.job.name or one.job.function}) of {one.job.owner}: {one.tasks:,} tasks")
    if not confirm(f"{verb.capitalize()} {tasks:,} tasks of {len(would):,} jobs?"):
        raise UsageError(
            f"nothing was touched: {verb} would touch {tasks:,} tasks of {len(would):,} jobs",
            why="what touches more than one job must be confirmed",
            hint="Add --yes to go on without a question",
        )


def _call(grid: Control, verb: str) -> Callable[..., tuple[Touched, ...]]:
    return {"cancel": grid.cancel, "retry": grid.retry, "forget": grid.forget}[verb]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    act = pages.ACT
    app.command(rich_help_panel=act, epilog=pages.example("taskgrid cancel last", "taskgrid cancel 17.40-60"))(cancel)
    app.command(rich_help_panel=act, epilog=pages.example("taskgrid retry 17", "taskgrid retry 3,5-8 --dry-run"))(retry)
    app.command(rich_help_panel=act, epilog=pages.example("taskgrid forget 17", "taskgrid forget all --yes"))(forget)
