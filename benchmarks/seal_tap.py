"""TaskGrid's own program, but for a list: the sizes of all frames that it sealed and checked, written as it ends.

python seal_tap.py SIZES_FILE master ...

Whatever a grid says passes its master, so its list has every frame once. The seals themselves are the real ones.
"""

from __future__ import annotations

import atexit
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from taskgrid.cli.main import main
from taskgrid.transport.frames import Buffer, Seal

_sizes: list[int] = []
_sealed = Seal.next


def _counted(seal: Seal, pieces: Iterable[Buffer]) -> bytes:
    kept = tuple(pieces)
    _sizes.append(sum(map(len, kept)))
    return _sealed(seal, kept)


def _write(file: Path) -> None:
    file.write_text(json.dumps(_sizes), encoding="utf-8")


if __name__ == "__main__":
    Seal.next = _counted  # type: ignore[method-assign]  # this program is there for it
    atexit.register(_write, Path(sys.argv.pop(1)))
    main()
