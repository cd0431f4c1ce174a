"""Where a journal lies: its folder, its kind of file system, and the lock that keeps others out.

One master owns a journal. The lock is `flock` on a file beside it, which the kernel lets go of
when its process ends, however it ends. Over a network neither such locks nor fsync can be relied
on, so that those file systems are refused. Nothing here knows what a journal holds.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from taskgrid.errors import JournalError, JournalLocked
from taskgrid.settings import state_folder

_NETWORKED: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fhgfs", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2", "smb3", "smbfs",
})  # fmt: skip
_LOCAL_FUSE: Final = frozenset({
    "fuse.ext2", "fuse.fuse-overlayfs", "fuse.ntfs", "fuse.exfat", "fuse.gocryptfs", "fuse.encfs",
})  # fmt: skip
_MOUNTS: Final = Path("/proc/mounts")


def prepare(path: Path) -> None:
    """Make the journal's folder and file for their owner alone, and refuse a network file system."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    refuse_network(path)
    if path.is_dir():
        raise JournalError(f"{path} is a folder, not a journal", hint="Name a file, as `--journal journal.db`.")
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names of new files in a folder survive power loss."""
    _sync(folder, os.O_RDONLY)


def sync_file(file: Path) -> None:
    """Make what was written to a file survive power loss."""
    _sync(file, os.O_RDWR)


def _sync(path: Path, mode: int) -> None:
    handle = os.open(path, mode | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def refuse_network(path: Path, mounts: Path = _MOUNTS) -> None:
    """Raise JournalError if `path` lies on a file system of another machine."""
    if not is_remote(path, mounts):
        return
    raise JournalError(
        f"the journal {path} lies on a network file system ({file_system(path, mounts)})",
        why="Locks and fsync can't be relied on there: two masters could write at once, and power loss lose tasks.",
        hint=f"Use a local path, as `--journal {state_folder() / 'journal.db'}`.",
    )


def is_remote(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Say whether `path` lies on a file system of another machine."""
    kind = file_system(path, mounts)
    return kind in _NETWORKED or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def file_system(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return the type of the file system that holds `path`; empty where the system doesn't tell."""
    if not mounts.exists():
        return ""
    best, kind = -1, ""
    real = Path(os.path.realpath(path))
    for line in mounts.read_text(errors="replace").splitlines():
        _, point, type_, *_ = line.split(" ")
        folder = Path(point.encode().decode("unicode_escape"))
        if real.is_relative_to(folder) and len(folder.parts) >= best:
            best, kind = len(folder.parts), type_
    return kind


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
