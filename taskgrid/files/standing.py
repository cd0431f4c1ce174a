"""What a file is to a run: new, done before, grown since, another one by now, or known to fail.

A file is *unchanged* if its inode, size and time of change are those that were recorded, and it had
settled: its last change lay at least 2 s before it was planned, so that any later one shows, also where
time is kept in steps of two seconds. The data is not read again. Devices are not compared, since a
network file system gets another number at each mount.

It has *grown* if it is longer, its inode is the same, the first 4 KiB (as many as there were) are the
same, it is not compressed, and it ended with a whole record: what was read then is still what stands
there. That tells growth from rotation: a renamed log's successor has another inode, and one that was
copied and truncated has other first bytes. Anything else is *changed*, and read from its beginning.

Knows no ledger and no jobs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from taskgrid.errors import FileDamaged, UsageError
from taskgrid.files.formats import archive_of
from taskgrid.files.identity import Identity
from taskgrid.files.stored import Stored

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_SETTLES_IN: Final = 2 * 10**9
"""Nanoseconds: FAT's are the coarsest times of change."""


class Standing(StrEnum):
    """Where a file stands before a run; each value completes the sentence "the file is ..."."""

    NEW = "new"  # nothing is recorded of it
    UNCHANGED = "unchanged"  # done, and as it was then
    GROWN = "grown"  # done up to an offset, and only appended to since
    CHANGED = "changed"  # to be read from its beginning: it or the function is another one by now
    FAILED = "failed"  # as it was when it failed: in quarantine


class Rerun(StrEnum):
    """Which files a run takes, besides those that are new."""

    CHANGED = "changed"  # and grown
    FAILED = "failed"  # those and what failed before
    ALL = "all"  # whatever is recorded

    def takes(self, standing: Standing) -> bool:
        """Say whether a run reads a file that stands so."""
        if standing is Standing.FAILED:
            return self is not Rerun.CHANGED
        return standing is not Standing.UNCHANGED


class Seen(NamedTuple):
    """A file as a listing shows it: nothing of it was read."""

    path: Path
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path, found: os.stat_result) -> Seen:
        """Make one of what `stat` said."""
        return cls(path, found.st_ino, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a ledger has of a file: how it was when it was last planned, and what came of it."""

    identity: Identity
    settled: bool
    code: str
    """The function's code hash."""
    cause: str | None
    """Why it failed; None if it did not."""
    outputs: list[tuple[Path, int, bool]] = field(default_factory=list)
    """Targets, their sizes, and whether they were published."""

    def is_like(self, seen: Seen) -> bool:
        """Say whether a listing shows the file as it was planned."""
        then = self.identity
        return (then.inode, then.size, then.mtime_ns) == seen[1:]


@dataclass(frozen=True, slots=True)
class Finding:
    """How a file stands."""

    seen: Seen
    standing: Standing
    due: bool
    """Whether this run reads it."""
    why: str = ""
    """For people: what changed, or why it failed."""
    since: int = 0
    """Of a grown file: the offset at which its tail begins. Else 0."""
    identity: Identity | None = None
    """Of a grown file: what it was found to be, with the tail."""


class Look(Protocol):
    """Looks at files where they lie, so that a machine that sees them can do it for one that doesn't."""

    def grown(self, path: Path, then: Identity, separator: bytes) -> Identity | None:
        """Return what a file is now if it only grew, from the end of a whole record on; else None."""

    def holds(self, target: Path, size: int) -> bool:
        """Say whether an output is there."""


class Here:
    """Looks at the files of this machine."""

    def grown(self, path: Path, then: Identity, separator: bytes) -> Identity | None:
        """Return what a file is now if it only grew, from the end of a whole record on; else None."""
        try:
            with Stored(path) as stored:
                return _grown(stored, then, separator)
        except (OSError, UsageError, FileDamaged, ModuleNotFoundError):  # whoever reads it will say so
            return None

    def holds(self, target: Path, size: int) -> bool:
        """Say whether an output is there, as long as it was written."""
        try:
            return target.stat().st_size == size
        except OSError:
            return False


def _grown(stored: Stored, then: Identity, separator: bytes) -> Identity | None:
    found = Identity.of(stored, head=then.size)
    if found.inode != then.inode or found.size <= then.size or found.head != then.head:
        return None
    last = min(len(separator), then.size)
    if stored.read(then.size - last, last) != separator[:last] or archive_of(stored) is not None:
        return None
    return Identity.of(stored)


def is_settled(identity: Identity, planned_at: float) -> bool:
    """Say whether any change after that instant would show in the file's time of change."""
    return identity.mtime_ns + _SETTLES_IN <= planned_at * 1e9


@dataclass(frozen=True, slots=True)
class Judge:
    """Tells how files stand, for one run."""

    code: str
    """The function's code hash."""
    rerun: Rerun = Rerun.CHANGED
    tail_after: str | None = None
    """The separator of the records, if a grown file may be read from where it ended; None if it may not."""
    look: Look = field(default_factory=Here)

    def find(self, seen: Seen, then: Recorded | None) -> Finding:
        """Say how a file stands to what is recorded of it."""
        if then is None:
            return Finding(seen, Standing.NEW, due=True)
        if self.rerun is Rerun.ALL:
            return self._found(seen, Standing.CHANGED, "everything is run again")
        if then.code != self.code:
            return self._found(seen, Standing.CHANGED, "the function changed")
        if not then.is_like(seen):
            return self._other(seen, then)
        if not then.settled:
            return self._found(seen, Standing.CHANGED, "it was still being written when it was planned")
        if then.cause is not None:
            return self._found(seen, Standing.FAILED, then.cause)
        if gone := self._gone(then):
            return self._found(seen, Standing.CHANGED, f"its output {gone} is not what was written")
        return self._found(seen, Standing.UNCHANGED)

    def _other(self, seen: Seen, then: Recorded) -> Finding:
        if self.tail_after is not None and then.cause is None and seen.size > then.identity.size:
            identity = self.look.grown(seen.path, then.identity, self.tail_after.encode())
            if identity is not None:
                why = f"it grew by {identity.size - then.identity.size} bytes"
                return Finding(seen, Standing.GROWN, due=True, why=why, since=then.identity.size, identity=identity)
        return self._found(seen, Standing.CHANGED, _difference(seen, then.identity))

    def _gone(self, then: Recorded) -> Path | None:
        return next(
            (target for target, size, there in then.outputs if not (there and self.look.holds(target, size))), None
        )

    def _found(self, seen: Seen, standing: Standing, why: str = "") -> Finding:
        return Finding(seen, standing, self.rerun.takes(standing), why)


def _difference(seen: Seen, then: Identity) -> str:
    if seen.inode != then.inode:
        return "another file has its name"
    if seen.size != then.size:
        return f"it has {seen.size} bytes, and had {then.size}"
    return "it was written to"
