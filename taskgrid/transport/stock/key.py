"""The stock port's key: a password in a file of its own, apart from the keys of the other port.

It is text, since a textbook client has it as `authkey=b"..."` in a script. Without one, 32 random
bytes are written as 43 letters, digits, `-` and `_`. Whoever has it may use the two queues, and
nothing else of TaskGrid.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from taskgrid.errors import UsageError
from taskgrid.transport.keys import replace_file

_SHORTEST: Final = 8


def read_or_make_key(path: Path) -> bytes:
    """Return the key in `path`, made there for its owner's eyes if the file is missing.

    A line break at the end is not part of the key. Raises `UsageError` for a key of fewer than 8
    bytes, and `OSError` if the file can't be read or made.
    """
    try:
        return _checked(path.read_bytes().rstrip(b"\r\n"), path)
    except FileNotFoundError:
        return _made(path)


def _made(path: Path) -> bytes:
    key = secrets.token_urlsafe(32)
    replace_file(path, key + "\n")
    return key.encode()


def _checked(key: bytes, path: Path) -> bytes:
    if len(key) < _SHORTEST:
        raise UsageError(
            f"The stock port's key in {path} is too short.",
            why=f"It has {len(key)} bytes; a short password is guessed from one login that somebody watched.",
            hint="Write at least 8 bytes into it, better 32, or remove the file: the next start makes one.",
        )
    return key
