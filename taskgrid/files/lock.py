"""A lock that one process has: `flock` on a file, and in the file the name of who has it.

The kernel lets go of it when the process ends, however it ends. Where that can't be relied on, over a
network, the name counts as well: a process on another host has the lock until it says that it is done.
The name of one that was killed stays, for whoever comes next to judge.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taskgrid.disks import is_remote
from taskgrid.errors import TaskGridError

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lock, or had it and did not say that it is done."""

    said: dict[str, Any] = field(default_factory=dict)
    is_alive: bool = True
    """Whether it is known, or has to be believed, that it goes on."""

    @property
    def fields(self) -> dict[str, Any]:
        """Return its host, process id and beginning."""
        return {each: self.said.get(each, "unknown") for each in ("host", "pid", "since")}

    @property
    def shown(self) -> str:
        """Return who it is, in words."""
        return "process {pid} on host {host} (since {since})".format(**self.fields)


class Lock:
    """The right to something, held until `release` or the end of the process."""

    def __init__(
        self,
        path: Path,
        now: float,
        refusal: Callable[[Holder], TaskGridError],
        *,
        said: dict[str, Any] | None = None,
        binds: Callable[[Holder], bool] = lambda _: False,
    ) -> None:
        """Take it, and leave one's name and what else is to be said; or raise the refusal.

        `binds` judges a name that was left by a process of this host which is no more.
        """
        self.left: dict[str, Any] = {}
        """What the last who had it has said, and did not live to take back."""
        self._handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            self._take(path, refusal, binds)
            since = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
            self._say({"host": socket.gethostname(), "pid": os.getpid(), "since": since, **(said or {})})
        except BaseException:
            os.close(self._handle)
            raise

    def _take(self, path: Path, refusal: Callable[[Holder], TaskGridError], binds: Callable[[Holder], bool]) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refusal(Holder(self._said())) from None
        said = self._said()
        if is_remote(path) and said.get("host", socket.gethostname()) != socket.gethostname():
            raise refusal(Holder(said))
        if said and binds(Holder(said, is_alive=False)):
            raise refusal(Holder(said, is_alive=False))
        self.left = said

    def _said(self) -> dict[str, Any]:
        try:
            found = json.loads(os.pread(self._handle, 4096, 0))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _say(self, what: dict[str, Any]) -> None:
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, json.dumps(what).encode(), 0)
        os.fsync(self._handle)

    def release(self, *, done: bool = True) -> None:
        """Let others have it; once released, it is no more to be released. Unless `done`, the name stays."""
        handle, self._handle = self._handle, -1
        if handle < 0:
            return
        try:
            if done:
                os.ftruncate(handle, 0)
        finally:
            os.close(handle)
