"""The keys that a master knows, read again while it runs: what was added opens the door, what was removed does not.

It opens no connection; what a key is, and how its file is read, is `keys.py`'s.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import structlog

from taskgrid.errors import UsageError
from taskgrid.transport.keys import EVERY_ROLE, FIRST_KEY, KEY_SIZE, LiveKey, read_key, role_key_files
from taskgrid.transport.protocol import Role

_log = structlog.get_logger()


class KeyTable:
    """The keys a master knows, and the roles each carries; `folder` is where they lie, if they lie in files."""

    def __init__(self, entries: Iterable[tuple[bytes, frozenset[Role]]], *, first: Path | None = None) -> None:
        self._entries = tuple(LiveKey(f"key {n}", *entry) for n, entry in enumerate(entries, 1))
        self._first = first
        self.folder = first and first.parent
        self.changes = 0
        """Grows whenever a key came or went."""
        self._lock = threading.Lock()  # between two that read the folder again
        self._complaints: dict[str, str] = {}
        if any(len(entry.key) != KEY_SIZE for entry in self._entries):
            raise UsageError(f"A key has {KEY_SIZE} bytes.")

    @classmethod
    def of(cls, key: bytes) -> Self:
        """Make a table of one key that carries all roles."""
        return cls([(key, EVERY_ROLE)])

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the first key (`path`, or `taskgrid.key` in the folder `path`) and the role keys beside it.

        Raises `UsageError` for a file that is missing, malformed or open to other users.
        """
        table = cls([], first=path / FIRST_KEY if path.is_dir() else path)
        table._entries = tuple(LiveKey(file.stem, read_key(file), roles) for file, roles in table._files())
        return table

    def find(self, proof: bytes, proof_of: Callable[[bytes], bytes]) -> LiveKey | None:
        """Find the key that makes `proof`; every key is tried, in constant time each, and the folder read again."""
        found = self._find(proof, proof_of)
        if found is None and self._first is not None:
            self.reread()
            found = self._find(proof, proof_of)
        return found

    def holds(self, key: LiveKey) -> bool:
        """Say whether a key that was found still opens the door."""
        return key in self._entries

    def reread(self) -> None:
        """Read the folder again: take new keys up, let removed ones go.

        A file that is there and can't be read changes nothing for its key, and is logged.
        """
        if self._first is None:
            return
        with self._lock:
            before = {entry.name: entry for entry in self._entries}
            read = [self._read_again(file, roles, before.get(file.stem)) for file, roles in self._files()]
            entries = tuple(entry for entry in read if entry is not None)
            if entries != self._entries:
                self._entries = entries
                self.changes += 1

    def _files(self) -> list[tuple[Path, frozenset[Role]]]:
        if self._first is None:
            return []
        beside = role_key_files(self._first.parent)
        beside.pop(self._first, None)
        return [(self._first, EVERY_ROLE), *beside.items()]

    def _read_again(self, file: Path, roles: frozenset[Role], before: LiveKey | None) -> LiveKey | None:
        try:
            entry = LiveKey(file.stem, read_key(file), roles)
        except UsageError as error:
            if self._complaints.get(file.stem) != error.message:
                _log.warning("key.unreadable", file=str(file), why=error.message, hint=error.hint)
            self._complaints[file.stem] = error.message
            return before
        self._complaints.pop(file.stem, None)
        return entry

    def _find(self, proof: bytes, proof_of: Callable[[bytes], bytes]) -> LiveKey | None:
        found = None
        for entry in self._entries:
            if hmac.compare_digest(proof_of(entry.key), proof):
                found = entry
        return found
