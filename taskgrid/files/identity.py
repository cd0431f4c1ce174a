"""Whether a file is the one that was planned, and is still the one that was opened.

A plan is made on one machine and read on others. What of an identity may be compared across them:

- *size*: on every machine the same. It may have grown: what was planned is still there.
- *mtime_ns*: the same as long as nothing was appended. Protocols round it (SMB to 100 ns, some file
  systems to seconds), so it is compared as exactly as the rougher of the two is given.
- *head*, a hash of the first 4 KiB as they were planned: the same; it tells a rotated log from its successor.
- *device* and *inode*: not compared. A device's number is each machine's own, so that one shared disk
  has different ones and two local disks the same; and inodes are made up anew by some network file systems.
  They are for one machine's use: to tell that two names are one file.

Knows no format and no record.
"""

from __future__ import annotations

import hashlib
from typing import Final

from pydantic import BaseModel, ConfigDict

from taskgrid.errors import FileChanged
from taskgrid.files.stored import Stored

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

HEAD: Final = 4 << 10
"""Bytes at a file's beginning that are hashed."""
_ROUNDED_TO: Final = (10**9, 10**6, 1000, 100)
"""Nanoseconds to which file systems and protocols round an instant, the roughest first."""


class Identity(BaseModel):
    """What a file was when it was looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: int
    inode: int
    size: int
    mtime_ns: int
    head: str

    @classmethod
    def of(cls, stored: Stored, *, head: int = HEAD) -> Identity:
        """Look at an open file; `head` is how many bytes at its beginning are hashed."""
        found = stored.stat()
        return cls(
            device=found.st_dev,
            inode=found.st_ino,
            size=found.st_size,
            mtime_ns=found.st_mtime_ns,
            head=hashlib.blake2b(stored.read(0, min(HEAD, head, found.st_size)), digest_size=16).hexdigest(),
        )

    def require(self, stored: Stored) -> Identity:
        """Return what an open file is now; FileChanged unless it is this one, grown perhaps."""
        found = Identity.of(stored, head=self.size)
        why = self._differs(found)
        if why:
            raise FileChanged(
                f"{stored.path} changed while read",
                why=f"Since it was planned or opened, {why}.",
                hint="Plan the files again once nobody rewrites them; appending does no harm.",
                path=str(stored.path),
            )
        return found if found.size == self.size else Identity.of(stored)

    def is_of(self, stored: Stored) -> bool:
        """Say whether an open file is this one, and has not grown."""
        found = Identity.of(stored, head=self.size)
        return found.size == self.size and not self._differs(found)

    def _differs(self, found: Identity) -> str:
        if found.size < self.size:
            return f"it shrank from {self.size} to {found.size} bytes"
        if found.head != self.head:
            return f"its first {min(HEAD, self.size)} bytes are others"
        if found.size == self.size and not _same_instant(found.mtime_ns, self.mtime_ns):
            return "it was written to without growing"
        return ""


def _same_instant(one: int, other: int) -> bool:
    unit = next((unit for unit in _ROUNDED_TO if one % unit == 0 or other % unit == 0), 1)
    return one // unit == other // unit
