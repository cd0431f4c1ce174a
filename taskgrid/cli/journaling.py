"""`journal`: look after the file that the master's record is in, mostly while no master has it.

`verify` and `export` only read, `repair` makes a sound journal of a damaged one and says what that
costs, `backup` copies one that is in use. Without a path each means the journal that a master of
this user opens.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskgrid.cli import pages
from taskgrid.cli.groups import grouped
from taskgrid.cli.options import At, Format, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskgrid.journal.mend import Loss
    from taskgrid.journal.repair import Repaired

_DAMAGED = 6
Journal = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="The journal's file; without one, what a master of this user opens."),
]
Agreed = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before what is lost is given up.")]


def verify(file: Journal = None, *, output: Output = Format.TABLE) -> None:
    """Read a journal through and say whether all of it is as it was written; changes nothing."""
    from dataclasses import asdict

    from taskgrid.cli import tables
    from taskgrid.cli.terminal import paint, say
    from taskgrid.journal import verify as read_through

    found = read_through(_place(file))
    if output is Format.JSON:
        tables.print_json(asdict(found) | {"sound": found.sound})
    else:
        sys.stdout.write(
            f"{found.path}: format {found.format}, {found.bytes:,} bytes, {found.epochs:,} starts\n"
            f"{found.jobs:,} jobs, {found.tasks:,} tasks in {found.chunks:,} chunks, {found.outcomes:,} outcome rows, "
            f"{found.records:,} records\n"
        )
        for each in found.findings:
            say(f"{paint('damage:', 'red')} {each}")
        if found.torn:
            say(f"The next start cuts {found.torn}.")
        sys.stdout.write("It is sound.\n" if found.sound else "")
        if not found.sound:
            say(f"  next: restore a backup, or `taskgrid journal repair {found.path}` keeps what is sound")
    raise typer.Exit(0 if found.sound else _DAMAGED)


def repair(file: Journal = None, *, yes: Agreed = False, output: Output = Format.TABLE) -> None:
    """Make a sound journal of what a damaged one still holds; says first what is lost, and keeps the damaged file."""
    from dataclasses import asdict

    from taskgrid.cli import tables
    from taskgrid.journal import repair as put_right

    told = output is Format.TABLE
    done = put_right(_place(file), lambda findings, losses: _agree(findings, losses, yes=yes, told=told))
    if not told:
        tables.print_json(asdict(done))
    else:
        _say_done(done)
    if not done.done and done.findings:
        raise typer.Exit(_DAMAGED)


def _agree(findings: Sequence[str], losses: Sequence[Loss], *, yes: bool, told: bool) -> bool:
    from taskgrid.cli.terminal import confirm, paint, say

    for each in findings if told else ():
        say(f"{paint('damage:', 'red')} {each}")
    for loss in losses if told else ():
        say(f"{paint('lost:', 'yellow')} {loss}")
    if told and not losses:
        say("Nothing is lost.")
    return yes or confirm("Put what is left in its place? The damaged file is kept aside.")


def _say_done(done: Repaired) -> None:
    from taskgrid.cli.terminal import say

    if done.done:
        say("An earlier repair was brought to its end." if done.resumed else "It is repaired.")
        say(f"The damaged file is {done.aside}; whatever workers still held is run again.")
    elif done.findings:
        say("Nothing was changed; --yes goes on without a question.")
    else:
        say("It is sound: there is nothing to repair.")


@grouped
def backup(
    target: Annotated[str, typer.Argument(help="A new file; on the master's machine, beside its journal if relative.")],
    *,
    journal: Annotated[
        Path | None, typer.Option("--journal", metavar="FILE", help="Copy this file, which no master has open.")
    ] = None,
    at: At,
    output: Output = Format.TABLE,
) -> None:
    """Copy the journal to a file of its own; the master goes on meanwhile."""
    from taskgrid.cli import door, tables
    from taskgrid.journal import back_up

    if journal is not None:
        path, size = target, back_up(journal, target)
    else:
        with door.control(at) as grid:
            reply = grid.backup(target)
        path, size = reply.path, reply.size
    if output is Format.JSON:
        tables.print_json({"path": path, "size": size})
    else:
        sys.stdout.write(f"{path}: {size:,} bytes\n")


def export(file: Journal = None) -> None:
    """Write jobs and tasks with their payloads and outcomes to stdout, as JSON Lines."""
    from taskgrid.journal import export as lines_of

    sys.stdout.flush()
    for line in lines_of(_place(file)):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _place(file: Path | None) -> Path:
    from taskgrid.errors import UsageError
    from taskgrid.journal.open import journal_file
    from taskgrid.loading import load
    from taskgrid.settings import MasterSettings

    found = file or journal_file(load(MasterSettings, {}).journal)
    if found is None:
        raise UsageError("the journal is kept in memory", hint="Name a file.")
    return found


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    journal = typer.Typer(
        name="journal",
        help="Check, repair, copy and export the journal.",
        epilog=pages.example("taskgrid journal verify", "taskgrid journal export > archive.jsonl"),
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    journal.command("verify", epilog=pages.example("taskgrid journal verify", "taskgrid journal verify old.db"))(verify)
    journal.command("repair", epilog=pages.example("taskgrid journal repair", "taskgrid journal repair old.db -y"))(
        repair
    )
    journal.command(
        "backup",
        epilog=pages.example(
            "taskgrid journal backup monday.db", "taskgrid journal backup copy.db --journal journal.db"
        ),
    )(backup)
    journal.command("export", epilog=pages.example("taskgrid journal export old.db > archive.jsonl"))(export)
    app.add_typer(journal, rich_help_panel=pages.GRID)
