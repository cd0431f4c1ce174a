"""A wall clock that can be set: `time.time` is off by as many seconds as the file `PROOF_CLOCK` says.

Python imports this module at start where its folder is on the path, before any of ours is there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_real = time.time
_real_ns = time.time_ns


def _shift() -> float:
    return float(Path(os.environ["PROOF_CLOCK"]).read_text() or 0)


if "PROOF_CLOCK" in os.environ:
    time.time = lambda: _real() + _shift()
    time.time_ns = lambda: _real_ns() + int(_shift() * 1e9)
