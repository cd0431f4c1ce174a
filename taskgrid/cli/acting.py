"""Commands that change jobs: `cancel`, `retry`, `forget`.

What may touch more than one job says first what it will touch, and asks; without a terminal it
wants `--yes`. The master does the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import typer

from taskgrid.cli import pages
from taskgrid.cli.options import DryRun, Everyone, Format, KeyFile, Output, Selectors, Server, Yes, servers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskgrid.client.control import Control
    from taskgrid.transport.protocol import Selector, Touched

_WORDS: Final = {"cancel": "cancelled", "retry": "brought back", "forget": "forgot"}


class _Wish(NamedTuple):
    """What was asked for, apart from the jobs."""

    verb: str
    yes: bool
    dry_run: bool
    output: Format


def cancel(
    jobs: Selectors,
    *,
    server: Server = None,
    key_file: KeyFile = None,
    output: Output = Format.TABLE,
    everyone: Everyone = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Take jobs or tasks back; what runs of them is stopped."""
    _act(jobs, servers(server), key_file, everyone, _Wish("cancel", yes, dry_run, output))


def retry(
    jobs: Selectors,
    *,
    server: Server = None,
    key_file: KeyFile = None,
    output: Output = Format.TABLE,
    everyone: Everyone = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Bring failed and cancelled tasks back, with the code that workers offer now."""
    _act(jobs, servers(server), key_file, everyone, _Wish("retry", yes, dry_run, output))


def forget(
    jobs: Selectors,
    *,
    server: Server = None,
    key_file: KeyFile = None,
    output: Output = Format.TABLE,
    everyone: Everyone = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Drop finished jobs with their results from the journal."""
    _act(jobs, servers(server), key_file, everyone, _Wish("forget", yes, dry_run, output))


def _act(words: list[str], at: tuple[str, ...] | None, key_file: object, everyone: bool, wish: _Wish) -> None:
    from pathlib import Path

    from taskgrid.cli import door, selectors, tables

    named = selectors.parse(words)
    with door.control(at, key_file if isinstance(key_file, Path) else None) as grid:
        chosen = door.selected(grid, named, everyone=everyone)
        bulk = len(named) > 1 or any(one.many for one in named)
        if bulk and not wish.yes and not wish.dry_run:
            _ask(grid, wish, chosen)
        touched = _call(grid, wish.verb)(*chosen, dry_run=wish.dry_run)
    if wish.output is Format.JSON:
        tables.print_views(touched)
    else:
        tables.touched_lines(touched, f"would {wish.verb}" if wish.dry_run else _WORDS[wish.verb])


def _ask(grid: Control, wish: _Wish, chosen: Sequence[Selector]) -> None:
    from taskgrid.cli.terminal import confirm, say
    from taskgrid.errors import UsageError

    would = _call(grid, wish.verb)(*chosen, dry_run=True)
    tasks = sum(one.tasks for one in would)
    for one in would:
        say(f"  job {one.job.number} ({one.job.name or one.job.function}) of {one.job.owner}: {one.tasks:,} tasks")
    if not confirm(f"{wish.verb.capitalize()} {tasks:,} tasks of {len(would):,} jobs?"):
        raise UsageError(
            f"nothing was touched: {wish.verb} would touch {tasks:,} tasks of {len(would):,} jobs",
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
