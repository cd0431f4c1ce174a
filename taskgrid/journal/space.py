"""Space on the disk of a journal: how much is free, and a ballast to throw off when none is.

Submits stop while there is still a reserve, so that reports of what runs can be committed. A
commit that meets a full disk all the same throws the ballast off once and goes on. Nothing here
knows what is written.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

RESERVE: Final = 64 << 20
BALLAST: Final = 16 << 20


class Space:
    """The free space beside one journal; sizes in bytes."""

    def __init__(self, path: Path, reserve: int = RESERVE, ballast: int = BALLAST) -> None:
        self._folder = str(path.parent)  # asked about at every submit, and as a path made a string each time
        self._reserve = reserve
        self._size = ballast
        self._ballast = Path(f"{path}.ballast")
        # Remembered rather than looked up: it is asked about at every commit, and nobody else's to touch.
        self._aboard = not ballast or self._ballast.exists()
        self.restore()

    def free(self) -> int:
        """Return the bytes this user can still write."""
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize

    def has_room(self, reusable: int) -> bool:
        """Say whether the reserve is free, counting `reusable` bytes inside the journal's own file."""
        return self.free() + reusable > self._reserve

    @property
    def whole(self) -> bool:
        """Whether the ballast is in place, or none is wanted."""
        return self._aboard

    def release(self) -> bool:
        """Throw the ballast off, and say whether there was one."""
        self._aboard = not self._size
        try:
            self._ballast.unlink()
        except FileNotFoundError:
            return False
        return True

    @property
    def restorable(self) -> bool:
        """Whether the ballast is away and there is space for it beside the reserve."""
        return not self.whole and self.free() > self._reserve + self._size

    def restore(self) -> None:
        """Take the ballast aboard again if the reserve stays free."""
        if not self.restorable:
            return
        with contextlib.suppress(OSError):  # the space went to somebody else meanwhile: try later
            _fill(self._ballast, self._size)
            self._aboard = True


def _fill(path: Path, size: int) -> None:
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(handle)
