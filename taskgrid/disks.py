"""What the house knows of disks: which kind of file system a path is on, how what was written stays, how far to go.

Knows nothing of what files hold.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_NETWORKED: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fhgfs", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2", "smb3", "smbfs",
})  # fmt: skip
_LOCAL_FUSE: Final = frozenset({
    "fuse.ext2", "fuse.fuse-overlayfs", "fuse.ntfs", "fuse.exfat", "fuse.gocryptfs", "fuse.encfs",
})  # fmt: skip
MOUNTS: Final = Path("/proc/mounts")
"""Where Linux tells what is mounted."""

_ROOTS: Final[list[str]] = []
"""Folders that this process keeps to; none: it goes anywhere."""


def keep_to(roots: Iterable[Path | str]) -> None:
    """Keep this process to what lies below some folders, wherever links lead; to none of them: anywhere."""
    _ROOTS[:] = map(os.path.realpath, roots)


def is_within_bounds(path: Path | str) -> bool:
    """Say whether a path, links followed, lies where this process keeps to."""
    if not _ROOTS:
        return True
    real = os.path.realpath(path)
    return any(real == root or real.startswith(root.rstrip("/") + "/") for root in _ROOTS)


def require_within_bounds(path: Path, opened: int | None = None) -> None:
    """Raise PermissionError unless a path, or what was opened by it, lies where this process keeps to."""
    told = Path(f"/proc/self/fd/{opened}")  # where Linux says what was really opened, whatever the path leads to by now
    if not is_within_bounds(told if opened is not None and told.exists() else path):
        raise PermissionError(errno.EACCES, "It lies outside the folders of this worker's --root", str(path))


def why_unseen(path: Path | str) -> str:
    """Say why a folder, or a file, can't be read here; empty if it can.

    An empty folder is where a disk is not mounted. One that may be entered but not listed is as good as any.
    """
    try:
        require_within_bounds(Path(path))
        if os.path.isdir(path):  # noqa: PTH112  # a path may hold what pathlib refuses
            return "" if _holds_something(path) else "it is empty here"
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _holds_something(folder: Path | str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except PermissionError:
        if os.access(folder, os.X_OK):
            return True  # nobody can tell, and what is in it can be read
        raise


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


def is_remote(path: Path, mounts: Path = MOUNTS) -> bool:
    """Say whether `path` lies on a file system of another machine."""
    kind = file_system(path, mounts)
    return kind in _NETWORKED or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def file_system(path: Path, mounts: Path = MOUNTS) -> str:
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
