"""Keys: 32 random bytes in a file that only its owner can read, and what each allows.

The first key (`taskgrid.key`) carries all roles; beside it lie one or two each for clients, workers and
operators (`worker.key`, `worker-2.key`). As text a key is one line, `taskgrid:` and 48 characters, the last
of them a checksum, so that a key pasted in part is told at once. Keys are never on a command line.

This module opens no connection; `key_table.py` is a master's view of a folder of keys, `rotation.py` adds and
removes some.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from taskgrid.errors import UsageError
from taskgrid.transport.protocol import Role

KEY_SIZE: Final = 32
FIRST_KEY: Final = "taskgrid.key"
ROLE_KEYS: Final = {
    "client.key": frozenset({Role.CLIENT}),
    "worker.key": frozenset({Role.WORKER}),
    "operator.key": frozenset({Role.OPERATOR}),
}
"""The files beside the first key, and what the holder of each may do."""

EVERY_ROLE: Final = frozenset(Role)
_ROLE_FILE: Final = re.compile(r"(client|worker|operator)(?:-([1-9]\d{0,5}))?\.key")
_TEXT: Final = re.compile(r"taskgrid:([A-Za-z0-9_-]{48})")
_CHECK_SIZE: Final = 4


class LiveKey(NamedTuple):
    """A key that opens the door, the name of its file without `.key`, and what its holder may do."""

    name: str
    key: bytes
    roles: frozenset[Role]

    def __repr__(self) -> str:
        return f"<key {self.name}>"  # whatever prints it prints no secret


def new_key() -> bytes:
    """Make a key."""
    return secrets.token_bytes(KEY_SIZE)


def format_key(key: bytes) -> str:
    """Write a key as the one line that people copy."""
    return "taskgrid:" + base64.urlsafe_b64encode(key + _check(key)).decode()


def parse_key(text: str) -> bytes:
    """Read a key's line. Raises `UsageError` for anything else, without repeating it."""
    found = _TEXT.fullmatch(text.strip())
    if not found:
        raise UsageError(
            "This is not a TaskGrid key.",
            why="A key is `taskgrid:` followed by 48 letters, digits, `-` or `_`.",
            hint="Copy the whole line of the master's key file.",
        )
    raw = base64.urlsafe_b64decode(found[1])
    key, check = raw[:KEY_SIZE], raw[KEY_SIZE:]
    if not hmac.compare_digest(check, _check(key)):
        raise UsageError(
            "This TaskGrid key was not copied right.",
            why="Its checksum does not fit.",
            hint="Copy the whole line of the master's key file.",
        )
    return key


def read_key(path: Path) -> bytes:
    """Read a key file. Raises `UsageError` if it is missing, malformed or open to other users."""
    try:
        _refuse_if_open_to_others(path)
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise UsageError(
            f"The key file {path} can't be read.",
            why=error.strerror or str(error),
            hint="`taskgrid join HOST` keeps a master's key; --key-file names another file.",
        ) from None
    try:
        return parse_key(text)
    except UsageError as error:
        raise UsageError(f"The key file {path} holds no key.", why=error.why, hint=error.hint) from None


def save_key(path: Path, key: bytes) -> None:
    """Write a key file, readable by its owner only, in place of what is there."""
    replace_file(path, format_key(key) + "\n")


def replace_file(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all, in place of what is there."""
    _make_folder(path.parent)
    _temporary(path, text).replace(path)


def make_key_files(folder: Path, *, first: str = FIRST_KEY) -> Path:
    """Make the first key and one for each role in `folder`, unless there are some; return the first key's path."""
    _make_folder(folder)
    there = set().union(*role_key_files(folder).values())
    missing = [name for name, roles in ROLE_KEYS.items() if not roles & there]
    for name in (first, *missing):
        make_key_once(folder / name)
    return folder / first


def make_key_once(path: Path) -> None:
    """Make a key file, unless there is one; of two that make it at once the first one's key stands, whole."""
    if path.exists():
        return
    temporary = _temporary(path, format_key(new_key()) + "\n")
    try:
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()


def role_key_files(folder: Path) -> dict[Path, frozenset[Role]]:
    """Return the role keys' files in `folder`, sorted by role and number, and the role of each."""
    found = [(match[1], int(match[2] or 1), name) for name in _names(folder) if (match := _ROLE_FILE.fullmatch(name))]
    return {folder / name: frozenset({Role(role)}) for role, _, name in sorted(found)}


def _names(folder: Path) -> list[str]:
    try:
        return [file.name for file in folder.iterdir()]
    except OSError:
        return []


def _check(key: bytes) -> bytes:
    return hashlib.sha256(b"taskgrid key" + key).digest()[:_CHECK_SIZE]


def _refuse_if_open_to_others(path: Path) -> None:
    status = path.stat()
    if not status.st_mode & 0o077 or status.st_uid != os.geteuid():
        return  # another's file is another's choice: a group of administrators may share one
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return  # a container's secret: mounted read-only, so that its mode is not ours to change
    raise UsageError(
        f"The key file {path} can be read by other users.",
        why=f"Its mode is {status.st_mode & 0o777:o}; who has the key can submit work in your name.",
        hint=f"chmod 600 {path}",
    )


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _temporary(path: Path, text: str) -> Path:
    """Write `text` durably to a new file (mode 0600) beside `path`."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)
