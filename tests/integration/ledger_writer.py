"""Records one file after another in a ledger, and says when each is kept, until it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

from taskgrid.files.identity import Identity
from taskgrid.files.ledger import Ledger
from taskgrid.files.remembered import Done, Entry, Recipe, Written

RECIPE = Recipe(function="m:f", code="c1")
FILES = 5_000


def value(number: int) -> bytes:
    """Return what comes of a file: some pages, so that a transaction is several writes."""
    return b"%d " % number * 2000


def main(path: Path) -> None:
    """Plan if no run is there, then record what has not ended."""
    was = Identity(device=0, inode=0, size=0, mtime_ns=0, head="")
    with Ledger.open(path) as ledger:
        run = next(iter(ledger.unfinished()), None)
        if run is None:
            run = ledger.begin(RECIPE, "key", (Entry(Path(f"/{number}"), was) for number in range(FILES)))
        for planned in ledger.planned(run):
            if not planned.ended:
                output = Written(Path(f"/out/{planned.number}"), Path("/out/temporary"), 1, "sum")
                ledger.record(run, [Done(planned.number, value(planned.number), (output,))])
                print(planned.number, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
