"""`join`: try a master's key from this machine, then keep address and key in files of the user's."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from taskgrid.cli import pages
from taskgrid.cli.options import KeyFile


def join(
    host: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="Where the master is.")],
    key_file: KeyFile = None,
) -> None:
    """Get to know a master: asks for its key (or reads stdin), tries it, keeps it."""
    from taskgrid.cli.terminal import say
    from taskgrid.transport.address import format_address, parse_address
    from taskgrid.transport.keys import save_key
    from taskgrid.transport.known import remember

    server = format_address(parse_address(host))
    key = _key(server, key_file)
    _try(server, key)
    kept = _file_for(server)
    save_key(kept, key)
    remember(server, kept)
    say(f"Joined {server}; its key is kept in {kept}.")
    say("Next: taskgrid worker --functions MODULE, or taskgrid map MODULE:FUNCTION ITEM...")


def _key(server: str, key_file: Path | None) -> bytes:
    from taskgrid.transport.keys import parse_key, read_key

    if key_file is not None:
        return read_key(key_file)
    return parse_key(_asked(server) if sys.stdin.isatty() else sys.stdin.readline())


def _asked(server: str) -> str:
    from getpass import getpass

    return getpass(f"Key of {server} (`taskgrid key show` over there): ", stream=sys.stderr)


def _try(server: str, key: bytes) -> None:
    from taskgrid.transport.manager import GridManager

    manager = GridManager((server,), key)
    try:
        manager.connect()
    finally:
        manager.close()


def _file_for(server: str) -> Path:
    from taskgrid.settings import config_folder

    name = re.sub(r"[^\w.-]+", "-", server).strip("-")
    return config_folder() / "keys" / f"{name}.key"


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    examples = pages.example(
        "taskgrid join master-host",
        "ssh master-host cat .config/taskgrid/worker.key | taskgrid join master-host",
    )
    app.command(rich_help_panel=pages.GRID, epilog=examples)(join)
