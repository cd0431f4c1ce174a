"""The command line: `app` with all commands, and `main`, which gives every error its exit status.

Each command is parse, one call, render, and imports what it needs only when it runs, so that
`taskgrid --help` answers in 0.3 s. Exit statuses: 0 all done, 1 some failed, 2 usage, 3 master
unreachable, 4 not let in, 5 version, 6 journal, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, cast

import typer

from taskgrid.cli import (
    acting,
    cluster,
    daemons,
    files,
    joining,
    journaling,
    keys,
    logs,
    looking,
    pages,
    reading,
    running,
)
from taskgrid.cli.failing import explained, fail, wants_json

app = typer.Typer(
    name="taskgrid",
    cls=pages.Grouped,
    help="Run a Python function over many small inputs on many machines: no broker, nothing lost.",
    epilog=pages.example(
        "taskgrid demo                                   see it work, on this machine alone",
        "taskgrid up -w 4                                a grid on this machine",
        "ls *.log | taskgrid map mylogs:count -          one task per line, results as JSON Lines",
        "taskgrid explain last                           why it waits, or how it ended",
    ),
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: importing rich takes most of 0.3 s
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from taskgrid import __version__

        sys.stdout.write(f"taskgrid {__version__}\n")
        raise typer.Exit


@app.callback()
def taskgrid(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Run a Python function over many small inputs on many machines: no broker, nothing lost."""


@app.command(rich_help_panel=pages.GRID, epilog=pages.example("taskgrid demo"))
def demo() -> None:
    """See it work: a grid on this machine, a worker that is killed, and nothing lost."""
    from taskgrid.cli.demo import run_demo

    raise typer.Exit(run_demo())


for room in (daemons, cluster, joining, keys, journaling, running, files, logs, reading, looking, acting):
    room.register(app)


def main() -> None:
    """Run the command line and exit with its status."""
    # structlog imports rich wherever it finds it, to show tracebacks that are plain text here: 0.1 s of each start.
    cast("dict[str, Any]", sys.modules).setdefault("rich", None)
    arguments = sys.argv[1:]
    try:
        status = app(args=arguments, prog_name="taskgrid", standalone_mode=True)
    except Exception as error:  # noqa: BLE001  # nobody at a terminal shall read a traceback
        status = fail(explained(error), as_json=wants_json(arguments))
    sys.exit(status)
