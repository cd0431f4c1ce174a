"""`key`: this machine's master's keys: where they are, what they are (on a terminal only), and their rotation.

A master that runs takes up new keys, and lets revoked ones go, by itself: these commands only touch files.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskgrid.cli import pages
from taskgrid.cli.options import Format, Output

if TYPE_CHECKING:
    from taskgrid.transport.rotation import KeyFact

_HEAD = ("key", "allows", "made", "id", "file")


class Who(StrEnum):
    """Whose key it is."""

    ANY = "any"
    CLIENT = "client"
    WORKER = "worker"
    OPERATOR = "operator"


class Role(StrEnum):
    """Whom a new key is for."""

    CLIENT = "client"
    WORKER = "worker"
    OPERATOR = "operator"


KeyFile = Annotated[
    Path | None, typer.Option("--key-file", metavar="FILE", help="The master's first key, if not this user's own.")
]
RoleOf = Annotated[Who, typer.Option("--role", help="The key that allows only that; `any` allows all.")]


def show(role: RoleOf = Who.ANY, key_file: KeyFile = None) -> None:
    """Show a key, on a terminal only: `taskgrid join` asks for it."""
    from taskgrid.errors import UsageError
    from taskgrid.transport.keys import format_key, read_key

    path = _path(role, key_file)
    if not sys.stdout.isatty():
        raise UsageError(
            "a key is shown on a terminal only",
            why="in a pipe or a log it would stay behind",
            hint="`taskgrid key path` names its file",
        )
    sys.stdout.write(format_key(read_key(path)) + "\n")


def path(role: RoleOf = Who.ANY, key_file: KeyFile = None) -> None:
    """Print the path of a key's file."""
    sys.stdout.write(f"{_path(role, key_file)}\n")


def make(key_file: KeyFile = None) -> None:
    """Make what is missing: the first key, and one for each role that has none."""
    from taskgrid.transport.keys import make_key_files

    first = _first(key_file)
    sys.stdout.write(f"{make_key_files(first.parent, first=first.name)}\n")


def new(
    role: Annotated[Role, typer.Option("--role", help="What its holders may do.")],
    key_file: KeyFile = None,
) -> None:
    """Make one more key for a role; a master that runs takes it up at once."""
    from taskgrid.cli.terminal import say
    from taskgrid.transport import protocol
    from taskgrid.transport.rotation import add_key

    fact = add_key(_path(Who.ANY, key_file), protocol.Role(role))
    sys.stdout.write(f"{fact.file}\n")
    say(f"Key {fact.name} is live; give it to those who are to change, then revoke the old one.")


def list_(output: Output = Format.TABLE, key_file: KeyFile = None) -> None:
    """List the live keys, without what they are."""
    from taskgrid.cli.tables import print_json, print_table
    from taskgrid.transport.rotation import list_keys

    facts = list_keys(_path(Who.ANY, key_file))
    if output is Format.JSON:
        print_json([{**fact._asdict(), "file": str(fact.file)} for fact in facts])
    else:
        print_table(_HEAD, [_row(fact) for fact in facts])


def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, as `taskgrid key list` shows it.")],
    key_file: KeyFile = None,
) -> None:
    """Revoke a key, and end what was connected with it.

    A master that runs ends those connections within two seconds. The first key is replaced by a new
    one, since a master is never without.
    """
    from taskgrid.cli.terminal import say
    from taskgrid.transport.rotation import revoke_key

    first = _path(Who.ANY, key_file)
    gone = revoke_key(first, name)
    say(f"Key {name} is revoked" + (f"; a new one is in {gone}." if gone == first else "."))


def _row(fact: KeyFact) -> tuple[str, ...]:
    made = datetime.fromtimestamp(fact.made_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    allows = fact.roles[0] if len(fact.roles) == 1 else "all"
    return (fact.name, allows, made, fact.id, str(fact.file))


def _path(role: Who, key_file: Path | None) -> Path:
    first = _first(key_file)
    chosen = first if role is Who.ANY else _of_role(role, first)
    _require(chosen)
    return chosen


def _first(key_file: Path | None) -> Path:
    from taskgrid.settings import config_folder
    from taskgrid.transport.keys import FIRST_KEY

    return key_file or config_folder() / FIRST_KEY


def _of_role(role: Who, first: Path) -> Path:
    """Return the role's newest key: the one to hand out."""
    from taskgrid.transport import protocol
    from taskgrid.transport.keys import role_key_files

    wanted = frozenset({protocol.Role(role)})
    live = [file for file, roles in role_key_files(first.parent).items() if roles == wanted]
    return live[-1] if live else first.with_name(f"{role}.key")


def _require(path: Path) -> None:
    from taskgrid.errors import UsageError

    if not path.exists():
        raise UsageError(
            f"there is no key in {path}",
            why="no master of this user was started on this machine",
            hint="`taskgrid master` makes it, or `taskgrid key make`; elsewhere: `taskgrid join HOST`",
        )


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    key = typer.Typer(
        name="key",
        help="Show, make, list and revoke the keys that open this machine's master.",
        epilog=pages.example(
            "taskgrid key show", "taskgrid key new --role worker", "taskgrid key list", "taskgrid key revoke worker"
        ),
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command, name in ((show, "show"), (path, "path"), (make, "make"), (new, "new"), (list_, "list")):
        key.command(name)(command)
    key.command("revoke", epilog=pages.example("taskgrid key revoke worker"))(revoke)
    app.add_typer(key, rich_help_panel=pages.GRID)
