"""Where a journal lies: its folder, its kind of file system, and the lock that keeps others out.

One master owns a journal. The lock is `flock` on a file beside it, which the kernel lets go of
when its process ends, however it ends. Over a network neither such locks nor fsync can be relied
on, so that those file systems are refused. Nothing here knows what a journal holds.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from taskgrid.disks import MOUNTS, file_system, is_remote, sync_folder
from taskgrid.errors import JournalError, JournalLocked
from taskgrid.settings import state_folder


def prepare(path: Path) -> None:
    """Make the journal's folder and file for their owner alone, and refuse a network file system."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    refuse_network(path)
    if path.is_dir():
        raise JournalError(f"{path} is a folder, not a journal", hint="Name a file, as `--journal journal.db`.")
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        sync_folder(path.parent)


def refuse_network(path: Path, mounts: Path = MOUNTS) -> None:
    """Raise JournalError if `path` lies on a file system of another machine."""
    if not is_remote(path, mounts):
        return
    raise JournalError(
        f"the journal {path} lies on a network file system ({file_system(path, mounts)})",
        why="Locks and fsync can't be relied on there: two masters could write at once, and power loss lose tasks.",
        hint=f"Use a local path, as `--journal {state_folder() / 'journal.db'}`.",
    )


class Lock:
    """The right to one journal, held until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._handle, 32, 0).decode(errors="replace").strip()
            os.close(self._handle)
            raise _locked(path, owner) from error
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have the journal."""
        os.close(self._handle)


def _locked(path: Path, owner: str) -> JournalLocked:
    return JournalLocked(
        f"the journal {path} is in use by process {owner or 'unknown'}",
        why="One master owns a journal; a second would hand out the same tasks again.",
        hint="Stop that one first, or give this one another `--journal`.",
        pid=int(owner) if owner.isdigit() else None,
    )
