"""Commands over files: `files` runs a function over them, `verify` checks what a run has written.

The function is imported here too: its annotations say whether it writes, and how values are merged.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from taskgrid.cli import pages
from taskgrid.cli.groups import grouped
from taskgrid.cli.options import At, ModulePath
from taskgrid.cli.running import Function, MaxAttempts, MemoryLimit, Priority, Reduction, TimeLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskgrid.files.wish import Settled
    from taskgrid.functions.reduction import Merge

Patterns = Annotated[
    list[str],
    typer.Argument(metavar="PATTERN", help="Files, folders, globs with `**`; `-` or `@FILE` for a list of them."),
]
Given = Annotated[
    list[str] | None,
    typer.Option("--arg", metavar="NAME=VALUE", help="A value for a parameter of the function; repeatable."),
]
Split = Annotated[str, typer.Option("--split", metavar="SIZE", help="Most stored bytes of a slice, auto or none.")]
OutPlace = Annotated[
    str | None,  # a path would lose the slash by which a folder is told from a file
    typer.Option("--out", metavar="DIR|FILE", help="A folder for an output per input, or a file for all results."),
]
Suffix = Annotated[
    str | None, typer.Option("--suffix", metavar=".EXT", help="What is added to an input's name. [default: .json]")
]
LedgerFile = Annotated[
    Path | None,
    typer.Option("--ledger", metavar="FILE", help="Remember there what is done. [default: in --out DIR, if given]"),
]
RerunWhich = Annotated[
    str, typer.Option("--rerun", metavar="WHICH", help="Read changed files, those and failed ones, or all again.")
]
Separator = Annotated[str, typer.Option("--separator", metavar="TEXT", help="What a record ends with.")]
Begins = Annotated[
    str | None, typer.Option("--begins", metavar="REGEX", help="How the first line of a record begins instead.")
]
Indexes = Annotated[
    Path | None,
    typer.Option("--indexes", metavar="DIR", help="Where seek indexes of gzip files are, or are built."),
]
BadRecords = Annotated[
    str, typer.Option("--bad", metavar="WHAT", help="Bad records: skip, keep in a sidecar beside the output, or fail.")
]
MaxFails = Annotated[
    str | None, typer.Option("--max-fails", metavar="N|P%", help="Stop when more files fail. [default: go on]")
]
ListOn = Annotated[
    str,
    typer.Option("--list-on", metavar="WHERE", help="Who lists the files: client, or worker if only they see them."),
]
Watch = Annotated[bool, typer.Option("--watch", help="Go on with new and changed files until Ctrl-C.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say which files would be read and why, and do nothing.")]


class How(NamedTuple):
    """What the function is given, how files are cut, and what becomes of results."""

    arg: Given = None
    split: Split = "auto"
    reduce: Reduction = None
    out: OutPlace = None
    suffix: Suffix = None
    ledger: LedgerFile = None
    rerun: RerunWhich = "changed"
    separator: Separator = r"\n"
    begins: Begins = None
    indexes: Indexes = None
    bad: BadRecords = "skip"
    max_fails: MaxFails = None
    list_on: ListOn = "client"


class Limits(NamedTuple):
    """Limits and rank of the run's tasks."""

    time_limit: TimeLimit = None
    memory_limit: MemoryLimit = None
    max_attempts: MaxAttempts = None
    priority: Priority = None


@grouped
def files(
    function: Function,
    patterns: Patterns,
    *,
    watch: Watch = False,
    dry_run: DryRun = False,
    path: ModulePath = None,
    how: How,
    limits: Limits,
    at: At,
) -> None:
    """Run a function over files, cut into slices: what is done is not done again, and a killed run goes on."""
    from taskgrid.cli import door
    from taskgrid.cli.over_files import carry_out, go_on, preview
    from taskgrid.files.asking import Asker
    from taskgrid.files.eyes import OwnEyes, WorkersEyes

    settled = _settled(function, patterns, path or [], how, limits)
    if dry_run and how.list_on == "client":  # without a grid
        preview(settled, OwnEyes())
        return
    with door.link(at) as (link, settings):
        if dry_run:
            preview(settled, WorkersEyes(Asker(link, settings.max_payload_bytes)))
            return
        if watch:
            go_on(link, settled, settings.max_payload_bytes)
        report = carry_out(link, settled, settings.max_payload_bytes)
    raise typer.Exit(1 if report.failed else 0)


def _settled(name: str, patterns: list[str], paths: list[Path], how: How, limits: Limits) -> Settled:
    from taskgrid.cli.payloads import checked_function
    from taskgrid.errors import UsageError
    from taskgrid.files.standing import Rerun
    from taskgrid.files.wish import Wish
    from taskgrid.functions.offers import function_named

    if how.rerun not in set(Rerun):
        raise UsageError(f"--rerun is one of {', '.join(Rerun)}, not {how.rerun!r}")
    function = function_named(checked_function(name), paths)
    wish = Wish(
        function=function,
        patterns=tuple(listed(patterns)),
        arguments=_arguments(function, how.arg or []),
        split=how.split,
        separator=how.separator.encode().decode("unicode_escape"),
        begins=how.begins,
        indexes=how.indexes,
        reduce=_reduction(how.reduce, paths),
        out=how.out,
        suffix=how.suffix,
        ledger=how.ledger,
        rerun=Rerun(how.rerun),
        bad=how.bad,
        max_fails=how.max_fails,
        list_on=how.list_on,
        options={name: value for name, value in limits._asdict().items() if value is not None},
    )
    return wish.settled()


def _arguments(function: Callable[..., object], given: list[str]) -> dict[str, object]:
    from taskgrid.errors import UsageError
    from taskgrid.files.calling import Shape

    pairs = dict(each.split("=", 1) for each in given if "=" in each)
    if len(pairs) < len(given):
        raise UsageError("--arg takes NAME=VALUE, each name once", why=f"It was given {', '.join(given)}.")
    return Shape.of(function).arguments.read(pairs)


def _reduction(named: str | None, paths: list[Path]) -> Merge | str | None:
    from taskgrid.functions.offers import function_named

    return function_named(named, paths) if named is not None and ":" in named else named


def listed(patterns: list[str]) -> list[str]:
    """Return the patterns, lists replaced by what they name."""
    found: list[str] = []
    for pattern in patterns:
        if pattern == "-":
            found += sys.stdin.read().splitlines()
        elif pattern.startswith("@"):
            found += Path(pattern[1:]).read_text(encoding="utf-8").splitlines()
        else:
            found.append(pattern)
    return [line for line in found if line]


def verify(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="What a run has written beside its outputs.")],
) -> None:
    """Read every output that a manifest names, and say which are not what was written."""
    from taskgrid.cli.terminal import say
    from taskgrid.files.manifest import verify as verified

    checked = wrong = 0
    for mismatch in verified(manifest):
        checked += 1
        if mismatch is not None:
            wrong += 1
            sys.stdout.write(f"{mismatch.output}: {mismatch.why}\n")
    say(f"{checked:,} outputs read, {wrong:,} not as written")
    raise typer.Exit(1 if wrong else 0)


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command(
        rich_help_panel=pages.WORK,
        epilog=pages.example(
            "taskgrid files mylogs:errors '/data/logs/**/*.log.gz' --reduce merge",
            "taskgrid files mylogs:shrink /data/logs --out /data/small/ --suffix .csv",
            "find /data -name '*.log' | taskgrid files mylogs:errors - --ledger errors.ledger",
        ),
    )(files)
    app.command(rich_help_panel=pages.WORK, epilog=pages.example("taskgrid verify /data/small/manifest.jsonl"))(verify)
