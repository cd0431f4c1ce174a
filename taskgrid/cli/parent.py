"""Ending with the process that started this one, and telling it that this one serves.

For whoever runs TaskGrid's programs as parts of its own (`up`, `Grid.local`, test suites). Linux
gives a signal on a parent's death; elsewhere the flag is refused. Knows nothing of what is run.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from taskgrid.errors import UsageError

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_PARENT: Final = "TASKGRID_PARENT"


def die_with_parent(sent: signal.Signals) -> None:
    """Have the kernel send this process a signal when the thread that started it ends."""
    if sys.platform != "linux":
        raise UsageError("--die-with-parent works on Linux only", hint="Stop the process yourself")
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_PDEATHSIG, int(sent), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    parent = os.environ.pop(_PARENT, None)
    if parent is not None and int(parent) != os.getppid():
        os.kill(os.getpid(), sent)  # it ended before the kernel was asked


def environment_of_children() -> dict[str, str]:
    """Return the environment for `--die-with-parent`: it says who the parent is, should it end too soon."""
    return {**os.environ, _PARENT: str(os.getpid())}


def write_ready(path: Path, **facts: Any) -> None:
    """Write `facts` and this process's id as JSON, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    temporary.write_text(json.dumps({**facts, "pid": os.getpid()}) + "\n")
    temporary.replace(path)
