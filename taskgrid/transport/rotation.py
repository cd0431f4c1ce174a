"""Rotation: a second key for a role, and the end of one.

A role has two live keys at most, so that the holders of the old one can change to the new one before the old
one is revoked. A master that runs sees the files come and go by itself. The first key is never absent: to
revoke it is to put a new one in its place. This module knows files, and no master.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final, NamedTuple

from taskgrid.errors import UsageError
from taskgrid.transport.keys import EVERY_ROLE, make_key_once, new_key, read_key, role_key_files, save_key
from taskgrid.transport.protocol import Role

MOST_LIVE: Final = 2


class KeyFact(NamedTuple):
    """What may be told of a key: everything but the key."""

    name: str
    roles: tuple[Role, ...]
    made_at: float
    """When its file was written, in seconds since 1970."""
    id: str
    """Tells keys apart, and gives none away."""
    file: Path


def list_keys(first: Path) -> list[KeyFact]:
    """List the first key and the role keys beside it. Raises `UsageError` for one that can't be read."""
    beside = {file: roles for file, roles in role_key_files(first.parent).items() if file != first}
    return [_fact(file, roles) for file, roles in ({first: EVERY_ROLE} | beside).items()]


def add_key(first: Path, role: Role) -> KeyFact:
    """Make one more key for a role, beside the first. Raises `UsageError` if the role has two already."""
    live = [file for file, roles in role_key_files(first.parent).items() if roles == {role}]
    if len(live) >= MOST_LIVE:
        raise UsageError(
            f"there are {MOST_LIVE} live keys for the role {role}: {', '.join(file.stem for file in live)}",
            why="two are enough to change from one to the other",
            hint=f"taskgrid key revoke {live[0].stem}, once nobody shows it any more",
        )
    number = max((int(file.stem.partition("-")[2] or 1) for file in live), default=0) + 1
    path = first.with_name(f"{role}.key" if number == 1 else f"{role}-{number}.key")
    make_key_once(path)
    return _fact(path, frozenset({role}))


def revoke_key(first: Path, name: str) -> Path:
    """Remove a role's key, or put a new first key in the old one's place; return the file.

    Raises `UsageError` if there is none of that name.
    """
    if name == first.stem:
        read_key(first)
        save_key(first, new_key())
        return first
    files = {file.stem: file for file in role_key_files(first.parent)}
    if name not in files:
        raise UsageError(
            f"there is no key {name[:80]!r} in {first.parent}",
            why=f"there are {', '.join([first.stem, *files])}",
            hint="`taskgrid key list` tells more of each; run it where the master runs",
        )
    files[name].unlink()
    _sync(first.parent)
    return files[name]


def _fact(file: Path, roles: frozenset[Role]) -> KeyFact:
    ident = hashlib.sha256(b"taskgrid key id" + read_key(file)).hexdigest()[:8]
    return KeyFact(file.stem, tuple(role for role in Role if role in roles), file.stat().st_mtime, ident, file)


def _sync(folder: Path) -> None:
    """Make a removal survive power loss: a revoked key must not come back."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
