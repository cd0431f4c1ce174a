"""What the house knows of disks: which kind of file system a path is on, and how what was written stays.

Knows nothing of what files hold.
"""

from __future__ import annotations

import os
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
