"""Asks workers about files before a run: each question is a small job of its own, and its answers come in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from taskgrid.client.callee import callee_of
from taskgrid.client.control import Control
from taskgrid.client.link import Link
from taskgrid.client.results import Source, in_order
from taskgrid.client.sending import send
from taskgrid.client.upload import Packer, Upload
from taskgrid.errors import TaskFailed, TaskGridError, UsageError
from taskgrid.files import build_index
from taskgrid.files.execution import cause_of
from taskgrid.model import JobId, Reason
from taskgrid.transport.protocol import Selector

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_USAGE = f"{UsageError.__module__}.{UsageError.__qualname__}"


class Asker:
    """Runs functions that ship with TaskGrid on workers that see certain folders."""

    def __init__(self, link: Link, max_payload: int) -> None:
        self.places: tuple[str, ...] = ()
        """The folders."""
        self._link = link
        self._max_payload = max_payload
        self._open: list[JobId] = []
        """What was asked and has no answer yet, the oldest first."""

    def ask(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], *, raising: bool = True
    ) -> Iterator[Any]:
        """Yield what calls come to, in order; UsageError where one raised that.

        Without `raising` errors come in their places.
        """
        if calls:
            yield from self.begin(function, calls).answers(raising=raising)

    def begin(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Asked:
        """Ask, and return before there are answers: workers are at it meanwhile."""
        callee = callee_of(function, self._max_payload)
        upload = Upload(callee.spec().model_copy(update={"places": self.places}))

        def encode(batch: list[Any], first: int) -> list[bytes]:
            return callee.codec.encode_items(batch, first=first, star=True)

        send(self._link, upload, Packer(encode).pack_all(calls))
        if upload.number is None:
            raise TaskGridError("the master accepted the job and gave it no number")
        return Asked(Source(self._link, upload.job, upload.number, callee.codec), self._open)

    def waiting(self) -> str:
        """Say why no worker has answered yet; empty if one is at it, or nothing was asked."""
        oldest = next(iter(self._open), None)
        if oldest is None:
            return ""
        found = Control(self._link.control).explain(Selector(job=oldest))
        return "" if found.reason in {Reason.RUNNING, Reason.ENDED} else found.what


class Asked:
    """What was asked: whoever does not want the answers drops it."""

    def __init__(self, source: Source, still_open: list[JobId]) -> None:
        self._source = source
        self._still_open = still_open
        still_open.append(source.job)

    def answers(self, *, raising: bool = True) -> Iterator[Any]:
        """Yield the answers in order, waiting for them; errors as `Asker.ask` does."""
        try:
            yield from in_order(self._source, raising=raising)
        except TaskFailed as error:
            if error.type != _USAGE:
                raise
            raise UsageError(cause_of(error).removeprefix("UsageError: ")) from None
        except (GeneratorExit, KeyboardInterrupt):
            self._cancel()
            raise
        finally:
            self._forget()

    def drop(self) -> None:
        """Take it back."""
        self._cancel()
        self._forget()

    def _cancel(self) -> None:
        with suppress(TaskGridError):
            Control(self._source.link.control).cancel(Selector(job=self._source.job))

    def _forget(self) -> None:
        if self._source.job not in self._still_open:
            return
        self._still_open.remove(self._source.job)
        with suppress(TaskGridError):  # nobody asks for it again, and a run that watches asks every few seconds
            Control(self._source.link.control).forget(Selector(job=self._source.job))


def indexed(asker: Asker, paths: Sequence[Path], folder: Path, *, is_seen: bool) -> Iterator[str]:
    """Have workers build the seek indexes of gzip files; yield what somebody should know of that.

    `is_seen`: this machine sees the folder as well, and makes it.
    """
    if is_seen:
        folder.mkdir(parents=True, exist_ok=True)
    answers = asker.ask(build_index, [(path, folder) for path in paths], raising=False)
    for path, built in zip(paths, answers, strict=True):
        if isinstance(built, BaseException):
            yield f"{path} has no seek index: {cause_of(built)}"
        elif is_seen and not built.exists():
            yield f"the seek index of {path} is not seen from here: a worker put it at {built}"
