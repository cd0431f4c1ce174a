"""Tell the history of a seed: `python -m tests.simulation SEED [LEANING] [--all]`.

`FIRST-LAST` in place of a seed looks for seeds that fail; a leaning is a name of `leanings`.
"""

from __future__ import annotations

import sys

from . import leanings
from .story import failures, judge
from .tell import tell


def main(arguments: list[str]) -> int:
    """Do as told; 1 if something is wrong."""
    if not arguments:
        print(__doc__)
        return 2
    first, _, last = arguments[0].partition("-")
    leaning = next((getattr(leanings, name) for name in arguments[1:] if hasattr(leanings, name)), None)
    if last:
        found = 0
        for failure in failures(range(int(first), int(last) + 1), leaning):
            print(failure, flush=True)
            found += 1
        print(f"{found} of {int(last) + 1 - int(first)} seeds show something wrong")
        return bool(found)
    world, findings = judge(int(first), leaning)
    print(*tell(world.loop.history, everything="--all" in arguments), sep="\n")
    print(*findings or ["nothing is wrong"], sep="\n")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
