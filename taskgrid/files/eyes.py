"""Who looks at the files of a run before it is planned: this process, or workers that see what it doesn't.

What is asked of either is the same, and so is the answer. Knows no ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

from taskgrid.client.callee import callee_of
from taskgrid.client.control import Control
from taskgrid.client.link import Link
from taskgrid.client.results import Source, in_order
from taskgrid.client.sending import send
from taskgrid.client.upload import Packer, Upload
from taskgrid.errors import TaskFailed, TaskGridError, UsageError
from taskgrid.files.execution import cause_of
from taskgrid.files.identity import Identity
from taskgrid.files.listing import Listed, in_order_of, listed, outermost, root_of
from taskgrid.files.looking import Cut, CutRequest, cut_files, grown_since, list_files
from taskgrid.files.planning import FilePath, absolute
from taskgrid.files.standing import Here, Look
from taskgrid.files.wish import Settled
from taskgrid.model import JobId, Reason
from taskgrid.transport.protocol import Selector

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_AT_ONCE: Final = 100
"""Files that one task looks at."""


class Eyes(Look, Protocol):
    """Looks at files."""

    def listing(self, patterns: Sequence[FilePath], without: Sequence[Path], *, by_name: bool) -> list[Listed]:
        """Return the files of patterns, in order; UsageError for a pattern that leads to nothing."""

    def cut(self, requests: Iterable[CutRequest]) -> Iterator[Cut]:
        """Say how each file is cut, in order."""

    def waiting(self) -> str:
        """Say why there is no answer yet; empty if somebody is at it."""


def eyes_of(settled: Settled, link: Link, max_payload: int) -> Eyes:
    """Return who looks at the files of a run."""
    return OwnEyes() if settled.wish.list_on == "client" else WorkersEyes(link, max_payload)


class OwnEyes(Here):
    """Looks from here."""

    def listing(self, patterns: Sequence[FilePath], without: Sequence[Path], *, by_name: bool) -> list[Listed]:
        """Return the files of patterns, in order; UsageError for a pattern that leads to nothing."""
        return listed(patterns, without=without, by_name=by_name)

    def cut(self, requests: Iterable[CutRequest]) -> Iterator[Cut]:
        """Say how each file is cut, in order."""
        return map(Cut.of, requests)

    def waiting(self) -> str:
        """Say that somebody is at it."""
        return ""


class WorkersEyes(Here):
    """Has workers look that see the patterns' folders; outputs, which are this machine's, it looks at itself."""

    def __init__(self, link: Link, max_payload: int) -> None:
        self._link = link
        self._max_payload = max_payload
        self._places: tuple[str, ...] = ()
        self._asked: JobId | None = None

    def listing(self, patterns: Sequence[FilePath], without: Sequence[Path], *, by_name: bool) -> list[Listed]:
        """Return the files of patterns, in order; UsageError for a pattern that leads to nothing."""
        wanted = list(absolute(patterns))
        self._places = outermost(map(root_of, wanted))
        found: list[Listed] = []
        after: Path | None = None
        while True:
            (page,) = self._ask(list_files, [([*map(str, wanted)], [*without], after)])
            found += page.files()
            after = page.after
            if after is None:
                return in_order_of(found, by_name=by_name)

    def cut(self, requests: Iterable[CutRequest]) -> Iterator[Cut]:
        """Say how each file is cut, in order."""
        given = iter(requests)
        batches = [(batch,) for batch in iter(lambda: list(islice(given, _AT_ONCE)), [])]
        for cuts in self._ask(cut_files, batches):
            yield from cuts

    def grown(self, path: Path, then: Identity, separator: bytes) -> Identity | None:
        """Return what a file is now if it only grew, from the end of a whole record on; else None."""
        found: Identity | None
        (found,) = self._ask(grown_since, [(path, then, separator.decode())])
        return found

    def waiting(self) -> str:
        """Say why no worker has answered yet; empty if one is at it, or nothing was asked."""
        if self._asked is None:
            return ""
        found = Control(self._link.control).explain(Selector(job=self._asked))
        return "" if found.reason in {Reason.RUNNING, Reason.ENDED} else found.what

    def _ask(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Yield what calls come to on workers, in order; UsageError where one raised that."""
        if not calls:
            return
        callee = callee_of(function, self._max_payload)
        upload = Upload(callee.spec().model_copy(update={"places": self._places}))

        def encode(batch: list[Any], first: int) -> list[bytes]:
            return callee.codec.encode_items(batch, first=first, star=True)

        send(self._link, upload, Packer(encode).pack_all(calls))
        if upload.number is None:
            raise TaskGridError("the master accepted the job and gave it no number")
        self._asked = upload.job
        try:
            yield from in_order(Source(self._link, upload.job, upload.number, callee.codec), raising=True)
        except TaskFailed as error:
            if error.type != f"{UsageError.__module__}.{UsageError.__qualname__}":
                raise
            raise UsageError(cause_of(error).removeprefix("UsageError: ")) from None
        except (GeneratorExit, KeyboardInterrupt):
            with suppress(TaskGridError):
                Control(self._link.control).cancel(Selector(job=upload.job))
            raise
        finally:
            self._asked = None
