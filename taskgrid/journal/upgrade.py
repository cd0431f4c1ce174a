"""From an older format of the journal's file to today's, at its first opening by this TaskGrid.

One step leads from each format to the next. All that are needed run in one transaction, so that a
crash leaves either format whole; before, the file is copied beside itself, as the older TaskGrid
will want it. A step knows the format it comes from and the one it makes, and nothing newer.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import structlog

from taskgrid.disks import sync_folder
from taskgrid.errors import JournalError
from taskgrid.journal import schema

_log = structlog.get_logger()

Step = Callable[[sqlite3.Connection], None]


def _columns(_: sqlite3.Connection) -> None:
    """Change nothing: what is read as ever is left as it is, and what is written from now on is new.

    Checkpoints hold what tasks left behind in columns. A TaskGrid of format 1 knows none and would pass
    them over, floors included: it would take reports that were superseded.
    """


STEPS: Final[Mapping[int, Step]] = {1: _columns}
"""What makes format n + 1 of format n, by n. Each is written once, and kept for as long as its files may exist."""


def upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Bring an open journal to today's format, leaving a copy in its old one; nothing if it is there already.

    Raises JournalError if no step leads from its format, or the copy can't be written.
    """
    found = schema.format_of(connection)
    if found == schema.FORMAT:
        return
    steps = [_step_from(number, path) for number in range(found, schema.FORMAT)]
    copy = path.with_name(f"{path.name}.format{found}")
    _leave_copy(connection, copy)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps:
            step(connection)
        connection.execute(f"PRAGMA user_version = {schema.FORMAT}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    _log.info("journal.upgraded", path=str(path), before=found, now=schema.FORMAT, copy=str(copy))


def _step_from(number: int, path: Path) -> Step:
    if number not in STEPS:
        raise JournalError(
            f"the journal {path} has format {number}, from which this TaskGrid does not know the way",
            hint="Open it once with a TaskGrid between that one and this.",
        )
    return STEPS[number]


def _leave_copy(connection: sqlite3.Connection, copy: Path) -> None:
    """Copy the journal; one that an interrupted upgrade, or an earlier one of the same format, left gives way."""
    part = copy.with_name(f"{copy.name}.part")
    try:
        handle = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            with closing(sqlite3.connect(part)) as target:
                connection.backup(target)
                target.execute("PRAGMA journal_mode = DELETE").fetchall()  # all in the one file
            os.fsync(handle)
        finally:
            os.close(handle)
        part.replace(copy)
        sync_folder(copy.parent)
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        raise JournalError(
            f"the journal's copy {copy} can't be written, so that its format is left as it is",
            why=str(error),
            hint="Free some space there, or start with the TaskGrid that wrote it.",
        ) from error
