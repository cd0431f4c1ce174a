"""Who looks at the files of a run before it is planned: this process, or workers that see what it doesn't.

What is asked of either is the same, and so is the answer. Knows no ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from glob import has_magic
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from taskgrid.files.asking import Asker
from taskgrid.files.identity import Identity
from taskgrid.files.listing import Listed, in_order_of, listed, outermost, root_of
from taskgrid.files.looking import Cut, CutRequest, cut_files, grown_since, list_files
from taskgrid.files.planning import FilePath, absolute
from taskgrid.files.standing import Here, Look
from taskgrid.files.wish import Settled

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


def eyes_of(settled: Settled, asker: Asker) -> Eyes:
    """Return who looks at the files of a run."""
    return OwnEyes() if settled.wish.list_on == "client" else WorkersEyes(asker)


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

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def listing(self, patterns: Sequence[FilePath], without: Sequence[Path], *, by_name: bool) -> list[Listed]:
        """Return the files of patterns, in order; UsageError for a pattern that leads to nothing."""
        wanted = list(absolute(patterns))
        self._asker.places = outermost(root_of(each) if has_magic(str(each)) else each for each in wanted)
        found: list[Listed] = []
        after: Path | None = None
        while True:
            (page,) = self._asker.ask(list_files, [([*map(str, wanted)], [*without], after)])
            found += page.files()
            after = page.after
            if after is None:
                return in_order_of(found, by_name=by_name)

    def cut(self, requests: Iterable[CutRequest]) -> Iterator[Cut]:
        """Say how each file is cut, in order."""
        given = iter(requests)
        batches = [(batch,) for batch in iter(lambda: list(islice(given, _AT_ONCE)), [])]
        for cuts in self._asker.ask(cut_files, batches):
            yield from cuts

    def grown(self, path: Path, then: Identity, separator: bytes) -> Identity | None:
        """Return what a file is now if it only grew, from the end of a whole record on; else None."""
        found: Identity | None
        (found,) = self._asker.ask(grown_since, [(path, then, separator.decode())])
        return found

    def waiting(self) -> str:
        """Say why no worker has answered yet; empty if one is at it, or nothing was asked."""
        return self._asker.waiting()
