"""What a run has to do: how each file stands to what is remembered, how it is cut, what its output is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from taskgrid.errors import UsageError
from taskgrid.files.eyes import Eyes
from taskgrid.files.ledger import Ledger
from taskgrid.files.listing import Listed
from taskgrid.files.looking import Cut, CutRequest
from taskgrid.files.remembered import Entry, Recipe
from taskgrid.files.report import Trouble
from taskgrid.files.standing import Finding, Standing
from taskgrid.files.wish import Settled

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


_AT_ONCE: Final = 1000
"""Files that are looked at before any of them is planned."""


class Place(NamedTuple):
    """A file in its run."""

    finding: Finding
    is_read: bool
    trouble: Trouble | None
    """Why it can't be read or isn't tried again."""

    @property
    def is_known(self) -> bool:
        """Say whether it is done, whole or up to its tail."""
        return self.finding.standing in {Standing.UNCHANGED, Standing.GROWN} and self.trouble is None


def placed(
    settled: Settled, findings: Iterable[Finding], eyes: Eyes, index: Callable[[Sequence[Path]], None]
) -> Iterator[tuple[Place, Entry | None]]:
    """Yield files in order, each with how it stands and, if it is read, how; those are looked at, some at a time.

    `index` builds the seek indexes of files that would be cut if they had one.
    """
    unplaced = iter(findings)
    while batch := list(islice(unplaced, _AT_ONCE)):
        cuts = _cuts(settled, [finding for finding in batch if finding.due], eyes, index)
        for finding in batch:
            yield _read(finding, next(cuts)) if finding.due else (_left_alone(finding), None)


def _cuts(
    settled: Settled, due: Sequence[Finding], eyes: Eyes, index: Callable[[Sequence[Path]], None]
) -> Iterator[Cut]:
    requests = [CutRequest(finding.seen.path, settled.size, settled.indexes, finding.since) for finding in due]
    cuts = list(eyes.cut(requests))
    if uncut := [number for number, cut in enumerate(cuts) if cut.wants_index]:
        index([requests[number].path for number in uncut])
        for number, cut in zip(uncut, eyes.cut(requests[number] for number in uncut), strict=True):
            cuts[number] = cut
    return iter(cuts)


def compared(settled: Settled, recipe: Recipe, ledger: Ledger, listing: list[Listed], eyes: Eyes) -> Iterator[Finding]:
    """Yield how the files of a listing stand to what is remembered, in order."""
    seen = [each.seen for each in listing]
    yield from ledger.compare(recipe, seen, rerun=settled.wish.rerun, tail_after=settled.tail_after, look=eyes)


def _left_alone(finding: Finding) -> Place:
    failed = finding.standing is Standing.FAILED
    return Place(finding, False, Trouble(finding.seen.path, f"in quarantine: {finding.why}") if failed else None)


def _read(finding: Finding, cut: Cut) -> tuple[Place, Entry | None]:
    path = finding.seen.path
    if cut.identity is None:
        return Place(finding, False, Trouble(path, cut.why_not)), None
    return Place(finding, True, None), Entry(path, cut.identity, cut.count, finding.since, cut.index)


def targets_of(settled: Settled, listing: Iterable[Listed]) -> dict[Path, Path]:
    """Return the target of each file that has one; UsageError if two have the same."""
    found: dict[Path, Path] = {}
    targets: dict[Path, Path] = {}
    for each in listing:
        target = settled.target_of(each)
        if target is None:
            continue
        if target in found:
            raise UsageError(
                f"{found[target]} and {each.seen.path} would both be written to {target}",
                hint="Name a folder above both: outputs are called as inputs are below it.",
            )
        found[target] = each.seen.path
        targets[each.seen.path] = target
    return targets
