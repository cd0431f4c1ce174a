"""Makes a sound journal of what a damaged one still holds, and says by name what is lost.

A working copy takes the file and every sound frame of its log; out of it come the rows that fit
their checksums; of these each job keeps what its records tell up to the first hole, with the chunks
and outcomes that belong to that. A job that lost nothing is copied as it was. The starts so far are
forgotten: reports and cursors of a history that is partly gone must not be taken for this one's.
The damaged file stays aside, untouched. Nothing is invented, and no hole is passed over in silence.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskgrid.disks import sync_file, sync_folder
from taskgrid.errors import JournalError
from taskgrid.journal import rows, schema
from taskgrid.journal.mend import Loss, Mender
from taskgrid.journal.place import Lock
from taskgrid.journal.salvage import Salvage
from taskgrid.journal.settle import Settled, settle
from taskgrid.journal.snapshot import Snapshot
from taskgrid.journal.swap import aside, swap, unfinished, waiting
from taskgrid.journal.verify import Verified, findings_of, verify

_SPARE: Final = 16 << 20


@dataclass(frozen=True)
class Repaired:
    """What a repair found, and whether it was carried out."""

    path: str
    done: bool
    findings: Sequence[str] = ()
    """What was wrong."""
    losses: Sequence[Loss] = ()
    aside: str = ""
    """Where the damaged file is; empty if nothing was done."""
    resumed: bool = False
    """An earlier repair, agreed to then, was brought to its end."""


def repair(path: str | Path, agree: Callable[[Sequence[str], Sequence[Loss]], bool]) -> Repaired:
    """Put a sound journal in the place of a damaged one if `agree`, told what is wrong and lost, says so.

    Raises JournalError: there is none, nothing of it can be read, an earlier repair's remains are in the
    way, or the disk has no room for two copies; JournalLocked: a master has it.
    """
    place = Path(path).absolute()
    if unfinished(place):
        with _locked(place):
            swap(place)
        return Repaired(str(place), done=True, aside=str(aside(place)), resumed=True)
    found = verify(place)
    if found.sound:
        return Repaired(str(place), done=False)
    with _locked(place):
        return _repair(place, found, agree)


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    lock = Lock(place)
    try:
        yield
    finally:
        lock.release()


def _repair(place: Path, found: Verified, agree: Callable[[Sequence[str], Sequence[Loss]], bool]) -> Repaired:
    _require_room(place, found.bytes)
    with _scratch(place) as (copy, fresh):
        settled = settle(place, copy)
        losses = _mend(copy, fresh)
        findings = [*found.findings, *_about_log(settled)]
        if not agree(findings, losses):
            return Repaired(str(place), done=False, findings=findings, losses=losses)
        sync_file(fresh)
        sync_folder(fresh.parent)
        fresh.rename(waiting(place))
    swap(place)
    return Repaired(str(place), done=True, findings=findings, losses=losses, aside=str(aside(place)))


def _require_room(place: Path, size: int) -> None:
    if aside(place).exists():
        raise JournalError(
            f"{aside(place)} is in the way",
            why="It is what an earlier repair kept.",
            hint="Move it and its `-wal` elsewhere, or delete them if that repair was good.",
        )
    free = shutil.disk_usage(place.parent).free
    if free < 2 * size + _SPARE:
        raise JournalError(
            f"a repair of {place} needs {2 * size + _SPARE:,} bytes beside it, and {free:,} are free",
            hint="Free some space, or copy the file and its `-wal` to a larger disk and repair it there.",
        )


@contextmanager
def _scratch(place: Path) -> Iterator[tuple[Path, Path]]:
    """Give names for the working copy and the new file; what is left of them goes at the end."""
    names = Path(f"{place}.salvage"), Path(f"{place}.repairing")
    for name in names:
        name.unlink(missing_ok=True)  # of a repair that was interrupted before its decision
    try:
        yield names
    finally:
        for name in names:
            name.unlink(missing_ok=True)


def _about_log(settled: Settled) -> Iterator[str]:
    if settled.headless:
        yield "the log's header is damaged"
    if settled.lost:
        pages = ", ".join(map(str, settled.lost[:20])) + (" ..." if len(settled.lost) > 20 else "")
        yield f"the newest copy of these pages was in damaged frames of the log: {pages}"


def _mend(copy: Path, fresh: Path) -> list[Loss]:
    with closing(_readable(copy)) as damaged, closing(_made(fresh)) as target:
        salvage = Salvage(damaged.connection)
        target.execute("BEGIN IMMEDIATE")
        losses = Mender(salvage, target).mend()
        _begin_anew(target, salvage)
        target.execute("COMMIT")
        wrong = list(findings_of(target, Verified(str(fresh))))
    if wrong:
        raise JournalError(
            "what the repair made is not sound either", why=wrong[0], hint="Nothing was changed; keep the damaged file."
        )
    return losses


def _readable(copy: Path) -> Snapshot:
    try:
        return Snapshot(copy)
    except JournalError as error:
        raise JournalError(
            "nothing can be read from this journal: its first page is damaged",
            why=error.why or error.message,
            hint="Restore a backup, or start with another `--journal`. Nothing was changed.",
        ) from error


def _made(fresh: Path) -> sqlite3.Connection:
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(fresh, isolation_level=None)
    for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -32000"):
        connection.execute(f"PRAGMA {setting}").fetchall()
    schema.make(connection)
    return connection


def _begin_anew(target: sqlite3.Connection, salvage: Salvage) -> None:
    """Go on counting starts, and know none of them: what they handed out can't be told from what is gone."""
    tokens = (int(text.split(" ", 1)[0]) for (text,) in target.execute("SELECT DISTINCT token FROM outcomes") if text)
    number, salt = max([*salvage.epochs(), *tokens], default=0), secrets.token_hex(8)
    target.execute("INSERT INTO epochs VALUES (?, ?, ?)", (number, salt, rows.epoch_sealed(number, salt)))
