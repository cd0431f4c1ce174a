"""`key`: where this machine's master has its keys, and, on a terminal only, what they are."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from taskgrid.cli import pages
from taskgrid.cli.options import KeyFile


class Action(StrEnum):
    """What `key` can do."""

    SHOW = "show"
    PATH = "path"
    MAKE = "make"


class Who(StrEnum):
    """Whose key it is."""

    ANY = "any"
    CLIENT = "client"
    WORKER = "worker"
    OPERATOR = "operator"


def key(
    action: Annotated[
        Action, typer.Argument(help="Show it, on a terminal only; print its file's path; make what is missing.")
    ],
    role: Annotated[Who, typer.Option("--role", help="The key that allows only that; `any` allows all.")] = Who.ANY,
    key_file: KeyFile = None,
) -> None:
    """Show the key that other machines join with, or where it is."""
    path = _path(role, key_file)
    if action is Action.MAKE:
        _make(key_file)
    if action is Action.SHOW:
        _show(path)
    else:
        _require(path)
        sys.stdout.write(f"{path}\n")


def _path(role: Who, key_file: Path | None) -> Path:
    from taskgrid.settings import config_folder
    from taskgrid.transport.keys import FIRST_KEY

    first = key_file or config_folder() / FIRST_KEY
    return first if role is Who.ANY else first.with_name(f"{role}.key")


def _make(key_file: Path | None) -> None:
    from taskgrid.settings import config_folder
    from taskgrid.transport.keys import FIRST_KEY, make_key_files

    make_key_files(key_file.parent if key_file else config_folder(), first=key_file.name if key_file else FIRST_KEY)


def _show(path: Path) -> None:
    from taskgrid.errors import UsageError
    from taskgrid.transport.keys import format_key, read_key

    _require(path)
    if not sys.stdout.isatty():
        raise UsageError(
            "a key is shown on a terminal only",
            why="in a pipe or a log it would stay behind",
            hint="`taskgrid key path` names its file",
        )
    sys.stdout.write(format_key(read_key(path)) + "\n")


def _require(path: Path) -> None:
    from taskgrid.errors import UsageError

    if not path.exists():
        raise UsageError(
            f"there is no key in {path}",
            why="no master of this user was started on this machine",
            hint="`taskgrid master` makes it, or `taskgrid key make`; elsewhere: `taskgrid join HOST`",
        )


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    examples = pages.example("taskgrid key show", "taskgrid key show --role worker", "taskgrid key path")
    app.command(rich_help_panel=pages.GRID, epilog=examples)(key)
