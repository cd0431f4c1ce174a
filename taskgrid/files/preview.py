"""What a run would do: how each file stands to what is remembered, without a ledger being made or changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from taskgrid.files.agenda import compared, targets_of
from taskgrid.files.eyes import Eyes
from taskgrid.files.ledger import Ledger
from taskgrid.files.standing import Finding
from taskgrid.files.wish import Settled

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


def previewed(settled: Settled, eyes: Eyes) -> Iterator[Finding]:
    """Yield how each file stands, in the order of the run; UsageError for what the run would refuse.

    A run that was killed, and would go on first, is not counted in: its files stand as before it.
    """
    listing = eyes.listing(settled.wish.patterns, settled.own, by_name=settled.wish.by_name)
    targets_of(settled, listing)
    with ExitStack() as stack:
        place = settled.ledger
        if place is None or not place.exists():
            place = Path(stack.enter_context(TemporaryDirectory(prefix="taskgrid-"))) / "ledger"
        ledger = stack.enter_context(Ledger.open(place))
        yield from compared(settled, settled.recipe(), ledger, listing, eyes)
