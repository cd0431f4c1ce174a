"""Arguments and options that several commands share, so that a flag means the same everywhere.

`-o/--output` is a format, `--out` a place, `-w/--workers` a number, `--functions` names functions.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer


class Format(StrEnum):
    """What `-o` chooses from."""

    TABLE = "table"
    JSON = "json"


class StatusFormat(StrEnum):
    """What `-o` of `status` chooses from."""

    TABLE = "table"
    JSON = "json"
    PROMETHEUS = "prometheus"


class PageFormat(StrEnum):
    """What `-o` of a log's summary chooses from."""

    TABLE = "table"
    JSON = "json"
    HTML = "html"


Server = Annotated[
    list[str] | None,
    typer.Option(
        "--server", metavar="HOST[:PORT]", help="The master; several, with commas or repeated, are tried in turn."
    ),
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", metavar="FILE", help="The key's file, if not the one that `join` kept.")
]
Output = Annotated[Format, typer.Option("--output", "-o", help="A table for people, or one JSON value for programs.")]
StatusOutput = Annotated[
    StatusFormat,
    typer.Option("--output", "-o", help="A table for people, JSON, or metrics in Prometheus' text format."),
]
LinesOutput = Annotated[Format, typer.Option("--output", "-o", help="Text for people, or an object of JSON a line.")]
PageOutput = Annotated[
    PageFormat, typer.Option("--output", "-o", help="Text for people, one JSON value, or a page for a browser.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write results there instead of to stdout.")]
Values = Annotated[bool, typer.Option("--values", help="Print bare values, a line each, without task and item.")]
Selectors = Annotated[
    list[str],
    typer.Argument(metavar="JOB", help="17, 17.42, 17.40-60, 3,5-8, last, all (the last two: your own)."),
]
JobSelector = Annotated[str, typer.Argument(metavar="JOB", help="17, 17.42, 17.40-60, last or last.42.")]
Everyone = Annotated[bool, typer.Option("--everyone", help="`last` and `all` mean everybody's jobs, not only yours.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before touching more than one job.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be touched, and touch nothing.")]
Functions = Annotated[
    list[str] | None,
    typer.Option("--functions", metavar="MODULE", help="A module or package whose functions are offered; repeatable."),
]
ModulePath = Annotated[
    list[Path] | None,
    typer.Option("--path", metavar="DIR", help="A folder to import from, after the current one; repeatable."),
]
DieWithParent = Annotated[
    bool, typer.Option("--die-with-parent", hidden=True, help="End when the process that started this one ends.")
]


class At(NamedTuple):
    """Which master, by which key."""

    server: Server = None
    key_file: KeyFile = None

    @property
    def servers(self) -> tuple[str, ...] | None:
        """The addresses that were given, or None."""
        return servers(self.server)


def servers(given: list[str] | None) -> tuple[str, ...] | None:
    """Flatten `--server a,b --server c`; None if the flag was not given."""
    return tuple(part.strip() for one in given for part in one.split(",") if part.strip()) if given else None
