"""The lines of stdin in batches: full ones from a quick producer, what has come from one that takes its time.

Not through `sys.stdin`: a thread that waits there for a line holds its lock, and Python's end wants
that too. Knows nothing of what a line means.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from typing import Final

_STDIN: Final = 0
_BLOCK: Final = 1 << 16
_HOLD: Final = 0.1
"""Seconds for which a lively batch's first line waits for others."""


def batches_of_stdin(most: int, *, lively: bool) -> Iterator[list[bytes]]:
    """Yield lines in batches of `most`, or where `lively`, of those that have come when the next are not there yet."""
    lines: list[bytes] = []
    rest = b""
    goes_at = 0.0
    while True:
        if not _is_ready(max(0.0, goes_at - time.monotonic()) if lively and lines else None):
            yield lines
            lines = []
        elif data := os.read(_STDIN, _BLOCK):
            *found, rest = (rest + data).split(b"\n")
            goes_at = goes_at if lines else time.monotonic() + _HOLD
            lines += [line.rstrip(b"\r") for line in found]
            while len(lines) >= most:
                yield lines[:most]
                lines = lines[most:]
        else:
            break
    if rest:
        lines.append(rest.rstrip(b"\r"))
    if lines:
        yield lines


def _is_ready(within: float | None) -> bool:
    """Say whether stdin has something, or has ended; wait for it as long as it takes if None."""
    return bool(select.select([_STDIN], [], [], within)[0])
