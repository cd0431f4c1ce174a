"""Keys: 32 random bytes in a file that only its owner can read, and what each allows.

The first key (`taskgrid.key`) carries all roles; beside it lie one each for clients, workers and
operators. As text a key is one line, `taskgrid:` and 48 characters, the last of them a checksum, so that
a key pasted in part is told at once. Keys are never on a command line. This module opens no connection.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

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

_EVERY_ROLE: Final = frozenset(Role)
_TEXT: Final = re.compile(r"taskgrid:([A-Za-z0-9_-]{48})")
_CHECK_SIZE: Final = 4


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
    """Make what is missing of the first key and the role keys in `folder`; return the first key's path."""
    _make_folder(folder)
    for name in (first, *ROLE_KEYS):
        _make_once(folder / name)
    return folder / first


class KeyTable:
    """The keys a master knows, and the roles each carries; `folder` is where they lie, if they lie in files."""

    def __init__(self, entries: Iterable[tuple[bytes, frozenset[Role]]], *, folder: Path | None = None) -> None:
        self._entries = tuple(entries)
        self.folder = folder
        if any(len(key) != KEY_SIZE for key, _ in self._entries):
            raise UsageError(f"A key has {KEY_SIZE} bytes.")

    @classmethod
    def of(cls, key: bytes) -> Self:
        """Make a table of one key that carries all roles."""
        return cls([(key, _EVERY_ROLE)])

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the first key (`path`, or `taskgrid.key` in the folder `path`) and the role keys beside it."""
        first = path / FIRST_KEY if path.is_dir() else path
        beside = [(first.parent / name, roles) for name, roles in ROLE_KEYS.items()]
        entries = [(read_key(file), roles) for file, roles in beside if file.exists() and file != first]
        return cls([(read_key(first), _EVERY_ROLE), *entries], folder=first.parent)

    def find(self, proof: bytes, proof_of: Callable[[bytes], bytes]) -> tuple[bytes, frozenset[Role]] | None:
        """Find the key that makes `proof`, and its roles; every key is tried, in constant time each."""
        found = None
        for entry in self._entries:
            if hmac.compare_digest(proof_of(entry[0]), proof):
                found = entry
        return found


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


def _make_once(path: Path) -> None:
    if path.exists():
        return
    temporary = _temporary(path, format_key(new_key()) + "\n")
    try:
        with suppress(FileExistsError):  # two masters started at once: the first one's key stands, whole
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
