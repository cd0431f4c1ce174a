"""How a task process stands in its system.

It dies with its agent, is the first to go when memory is short, keeps its orphans in reach, and does
not hand its channel down. Each measure is taken where the system has it; none is needed for correct results.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_OOM_SCORE: Final = "500"


def stand_as_child_of(parent: int) -> None:
    """Prepare this process to be a child of the agent `parent`; exit at once if that is gone already."""
    with contextlib.suppress(OSError, AttributeError):
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what a task leaves behind is killed with it
    if os.getppid() != parent:
        os._exit(1)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the agent, which drains


def keep_to_itself(*descriptors: int) -> None:
    """Hide descriptors from programs that a task starts."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
