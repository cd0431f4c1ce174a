"""A journal's file opened for reading alone: by those who look at a journal that no master has.

It begins no epoch and writes nothing. Where a log lies beside the file, SQLite reads through it and
keeps that log's index in a file of its own. Which rows there are is not known here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final
from urllib.parse import quote

from taskgrid.errors import JournalError
from taskgrid.journal import schema
from taskgrid.journal.rows import UNREADABLE, finding
from taskgrid.journal.wal import damaged

_SETTINGS: Final = ("cell_size_check = ON", "mmap_size = 0", "cache_size = -8000")


class Snapshot:
    """Owns the connection until `close`. Raises JournalError: not a journal, or of a newer TaskGrid."""

    def __init__(self, path: Path) -> None:
        self.path = path
        log = Path(f"{path}-wal")
        alone = not log.exists() or not log.stat().st_size
        place = f"file:{quote(str(path))}?mode=ro{'&immutable=1' if alone else ''}"
        self.connection = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)
        self._lock = Lock()
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        with self.reading() as connection:
            for setting in _SETTINGS:
                connection.execute(f"PRAGMA {setting}")
            if schema.is_new(connection, str(self.path)):
                raise JournalError(f"{self.path} has no tables", why="No master ever used it.")
            if (found := schema.format_of(connection)) < schema.FORMAT:
                raise JournalError(
                    f"{self.path} has format {found}, and this TaskGrid reads format {schema.FORMAT}",
                    hint="Start a master on it once: it brings it up to date, and leaves a copy as it was.",
                )

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; what does not fit becomes JournalDamaged."""
        with self._lock:
            try:
                yield self.connection
            except UNREADABLE as error:
                raise damaged(self.path, finding(error)) from error
            except sqlite3.Error as error:
                raise damaged(self.path, f"SQLite says: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()
