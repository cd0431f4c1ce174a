"""What a run has to do: how each file stands to what is remembered, how it is cut, what its output is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

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


class Place(NamedTuple):
    """A file in its run."""

    finding: Finding
    entry: Entry | None
    """How it is read; None if it is not."""
    trouble: Trouble | None
    """Why it can't be read or isn't tried again."""

    @property
    def is_known(self) -> bool:
        """Say whether it is done, whole or up to its tail."""
        return self.finding.standing in {Standing.UNCHANGED, Standing.GROWN} and self.trouble is None


def placed(
    settled: Settled, findings: Sequence[Finding], eyes: Eyes, index: Callable[[Sequence[Path]], None]
) -> Iterator[Place]:
    """Yield files in order, each with how it stands; those to be read are looked at.

    `index` builds the seek indexes of files that would be cut if they had one.
    """
    due = (finding for finding in findings if finding.due)
    requests = [CutRequest(finding.seen.path, settled.size, settled.indexes, finding.since) for finding in due]
    cuts = list(eyes.cut(requests))
    if uncut := [number for number, cut in enumerate(cuts) if cut.wants_index]:
        index([requests[number].path for number in uncut])
        for number, cut in zip(uncut, eyes.cut(requests[number] for number in uncut), strict=True):
            cuts[number] = cut
    found = iter(cuts)
    for finding in findings:
        yield _read(finding, next(found)) if finding.due else _left_alone(finding)


def compared(settled: Settled, recipe: Recipe, ledger: Ledger, listing: list[Listed], eyes: Eyes) -> Iterator[Finding]:
    """Yield how the files of a listing stand to what is remembered, in order."""
    seen = [each.seen for each in listing]
    yield from ledger.compare(recipe, seen, rerun=settled.wish.rerun, tail_after=settled.tail_after, look=eyes)


def _left_alone(finding: Finding) -> Place:
    failed = finding.standing is Standing.FAILED
    return Place(finding, None, Trouble(finding.seen.path, f"in quarantine: {finding.why}") if failed else None)


def _read(finding: Finding, cut: Cut) -> Place:
    path = finding.seen.path
    if cut.identity is None:
        return Place(finding, None, Trouble(path, cut.why_not))
    return Place(finding, Entry(path, cut.identity, cut.count, finding.since, cut.index), None)


def targets_of(settled: Settled, listing: list[Listed]) -> dict[Path, Path | None]:
    """Return the target of each file; UsageError if two have one."""
    found: dict[Path, Path] = {}
    targets: dict[Path, Path | None] = {}
    for each in listing:
        target = settled.target_of(each)
        if target is not None and target in found:
            raise UsageError(
                f"{found[target]} and {each.seen.path} would both be written to {target}",
                hint="Name a folder above both: outputs are called as inputs are below it.",
            )
        if target is not None:
            found[target] = each.seen.path
        targets[each.seen.path] = target
    return targets
