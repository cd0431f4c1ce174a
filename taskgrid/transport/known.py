"""Which master, and with which key: what was said, else the environment, else what was remembered.

`taskgrid join`, `master` and `up` remember; everything else looks here. The memory is one small file in
the user's configuration folder that names key files; keys themselves are not in it. It dials nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from taskgrid.errors import UsageError
from taskgrid.settings import config_folder
from taskgrid.transport.address import format_address, parse_address
from taskgrid.transport.keys import FIRST_KEY, read_key, replace_file

_KEPT: Final = 50  # masters remembered; the oldest are forgotten


class Door(NamedTuple):
    """Where to knock, and the key to show."""

    servers: tuple[str, ...]
    key: bytes


class Known(BaseModel):
    """A master that was met: its address, and the file of the key it was met with."""

    model_config = ConfigDict(frozen=True)

    server: str
    key_file: Path


class _Memory(BaseModel):
    masters: tuple[Known, ...] = ()


def remember(server: str, key_file: Path) -> None:
    """Keep this master as the one to turn to when none is named."""
    met = Known(server=_normal(server), key_file=key_file.absolute())
    others = [known for known in known_masters() if known.server != met.server]
    memory = _Memory(masters=(met, *others)[:_KEPT])
    replace_file(_memory_file(), memory.model_dump_json(indent=2) + "\n")


def known_masters() -> tuple[Known, ...]:
    """Return the masters that were remembered, the last one first."""
    path = _memory_file()
    try:
        return _Memory.model_validate_json(path.read_bytes()).masters
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{path} can't be read.",
            why=str(error).splitlines()[0],
            hint=f"Delete {path}, then `taskgrid join HOST` again.",
        ) from None


def find_master(servers: Sequence[str] = (), key_file: Path | None = None) -> Door:
    """Find the masters to try in turn and the key to show them. Raises `UsageError` with what to do."""
    named = tuple(map(_normal, servers)) or _from_environment()
    doors = named or tuple(known.server for known in known_masters()[:1])
    if not doors:
        raise UsageError(
            "No master is known here.",
            why="None was named (--server, TASKGRID_SERVER), and this user has joined none.",
            hint="Start one with `taskgrid master`, or `taskgrid join HOST` the one on another machine.",
        )
    return Door(doors, read_key(_key_file(doors, key_file)))


def _from_environment() -> tuple[str, ...]:
    return tuple(_normal(server) for server in os.environ.get("TASKGRID_SERVER", "").split(",") if server.strip())


def _key_file(servers: tuple[str, ...], named: Path | None) -> Path:
    chosen = named or os.environ.get("TASKGRID_KEY_FILE")
    if chosen:
        return Path(chosen).expanduser()
    for known in known_masters():
        if known.server in servers:
            return known.key_file
    own = config_folder() / FIRST_KEY
    if own.exists():
        return own
    raise UsageError(
        f"There is no key for {servers[0]}.",
        why="No key file was named (--key-file, TASKGRID_KEY_FILE), and this user has not joined that master.",
        hint=f"`taskgrid join {servers[0]}` asks for the key and keeps it.",
    )


def _normal(server: str) -> str:
    return format_address(parse_address(server))


def _memory_file() -> Path:
    return config_folder() / "masters.json"
