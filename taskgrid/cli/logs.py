"""`logs`: what operators ask of logs, over the grid: a summary, counts of a field, matching lines.

The functions ship with TaskGrid, and workers offer them unless their owner says otherwise.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from taskgrid.cli import pages
from taskgrid.cli.files import Indexes, LedgerFile, ListOn, Patterns, Split, listed
from taskgrid.cli.groups import grouped
from taskgrid.cli.options import At, Format, LinesOutput, Output, PageFormat, PageOutput

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskgrid.files.wish import Settled

LogFormat = Annotated[
    str,
    typer.Option("--format", metavar="NAME|REGEX", help="The lines' format. [default: told by each file's beginning]"),
]
Top = Annotated[int, typer.Option("--top", min=1, metavar="N", help="How many of each kind are shown.")]


class Cut(NamedTuple):
    """How the logs are read."""

    split: Split = "auto"
    indexes: Indexes = None
    ledger: LedgerFile = None
    list_on: ListOn = "client"


@grouped
def summary(
    patterns: Patterns,
    *,
    log_format: LogFormat = "",
    top: Top = 10,
    output: PageOutput = PageFormat.TABLE,
    cut: Cut,
    at: At,
) -> None:
    """Sum up logs: of web servers, of syslog, JSON lines, or any others.

    Of requests: hits over time, bytes, statuses, methods, paths, clients, errors, agents, referrers. Of
    messages: lines over time, severities, facilities, warnings, the messages, programs and hosts that are most
    frequent. Of both, lines that are bad.
    """
    from taskgrid.cli.over_logs import merged
    from taskgrid.logs import report, summary_of, web_page

    _check_format(log_format)
    settled = _settled(summary_of, patterns, {"log_format": log_format}, cut, reduce="merge")
    value, failed = merged(at, settled)
    if output is PageFormat.JSON:
        sys.stdout.write(value.model_dump_json() + "\n")
    elif output is PageFormat.HTML:
        sys.stdout.write(web_page.page(value, " ".join(patterns), top=top))
    else:
        sys.stdout.write(report.render(value, top=top) + "\n")
    raise typer.Exit(1 if failed else 0)


@grouped
def count(
    patterns: Patterns,
    *,
    by: Annotated[str, typer.Option("--by", metavar="FIELD", help="The field whose values are counted.")],
    log_format: LogFormat = "",
    top: Top = 20,
    output: Output = Format.TABLE,
    cut: Cut,
    at: At,
) -> None:
    """Count how often each value of a field occurs."""
    from taskgrid.cli.over_logs import merged, show_counts
    from taskgrid.logs import counts_of

    _check_format(log_format)
    settled = _settled(counts_of, patterns, {"field": by, "log_format": log_format}, cut, reduce="merge")
    value, failed = merged(at, settled)
    if output is Format.JSON:
        sys.stdout.write(value.model_dump_json() + "\n")
    else:
        show_counts(value, by, top)
    raise typer.Exit(1 if failed else 0)


@grouped
def grep(
    pattern: Annotated[str, typer.Argument(metavar="REGEX", help="A regular expression, as Python has them.")],
    patterns: Patterns,
    *,
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", "-i", help="Letters match whatever their case.")
    ] = False,
    only_count: Annotated[
        bool, typer.Option("--count", "-c", help="Print only how many lines of each file match.")
    ] = False,
    most: Annotated[
        int | None, typer.Option("--max-count", "-m", min=1, metavar="N", help="Stop after so many lines.")
    ] = None,
    no_filename: Annotated[bool, typer.Option("--no-filename", help="Print lines without their file.")] = False,
    output: LinesOutput = Format.TABLE,
    split: Split = "3MiB",
    indexes: Indexes = None,
    list_on: ListOn = "client",
    at: At,
) -> None:
    """Print matching lines, in order.

    Files go by name, lines as they stand; they are printed as they are found.
    """
    from taskgrid.cli.over_logs import Show, search
    from taskgrid.logs import matches_of
    from taskgrid.logs.searching import Search

    Search(pattern)  # says here what is wrong with it, and not once per file
    given = {"pattern": pattern, "ignore_case": ignore_case, "only_count": only_count}
    settled = _settled(matches_of, patterns, given, Cut(split, indexes, None, list_on), by_name=True, as_found=True)
    show = Show(only_count=only_count, most=most, filename=not no_filename, as_json=output is Format.JSON)
    failed = search(at, settled, show)
    raise typer.Exit(1 if failed else 0)


def _check_format(log_format: str) -> None:
    """Say here what is wrong with it, and not once per file."""
    from taskgrid.logs.formats import named

    if log_format:
        named(log_format)


def _settled(
    function: Callable[..., Any], patterns: list[str], arguments: dict[str, Any], cut: Cut, **how: Any
) -> Settled:
    from taskgrid.files.wish import Wish

    wish = Wish(
        function=function,
        patterns=tuple(listed(patterns)),
        arguments=arguments,
        split=cut.split,
        indexes=cut.indexes,
        ledger=cut.ledger,
        list_on=cut.list_on,
        **how,
    )
    return wish.settled()


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    logs = typer.Typer(
        name="logs",
        help="Sum up, count and search logs.",
        epilog=pages.example(
            "taskgrid logs summary '/var/log/nginx/access.log*'",
            "taskgrid logs grep ' 500 ' '/var/log/nginx/access.log*'",
        ),
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    logs.command(
        epilog=pages.example(
            "taskgrid logs summary '/var/log/nginx/access.log*'",
            "taskgrid logs summary /var/log/syslog /var/log/auth.log",
            "taskgrid logs summary /logs/web -o html > web.html",
            "taskgrid logs summary '/logs/**/*.gz' --ledger web.ledger      tomorrow only what is new",
        )
    )(summary)
    logs.command(
        epilog=pages.example(
            "taskgrid logs count --by status '/var/log/nginx/access.log*'",
            "taskgrid logs count --by program /var/log/syslog",
            "taskgrid logs count --by level --format '(?P<level>[A-Z]+) .*' app.log",
        )
    )(count)
    logs.command(
        epilog=pages.example(
            "taskgrid logs grep 'timed? ?out' '/logs/**/*.log.gz' -i",
            "taskgrid logs grep --count ' 500 ' '/var/log/nginx/access.log*'",
        )
    )(grep)
    app.add_typer(logs, rich_help_panel=pages.WORK)
