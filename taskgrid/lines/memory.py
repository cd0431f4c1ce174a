"""Keeps the C library from giving memory back that is wanted again at once.

Blocks of a megabyte come and go. glibc returns what is freed at the heap's end to the system, and
each page that is then wanted again costs a fault: with them, blocks came from the page cache at a
third of the rate, and counting took half as long again. So this process keeps up to 64 MiB for itself.
"""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of mallopt(3): what may lie free at the heap's end, and from where on a block is no part of the heap."""
_KEPT: Final = 64 << 20


def keep_freed_memory() -> None:
    """Change it for this process; nothing where the C library has no such switch."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_TRIM_THRESHOLD, _KEPT)
    mallopt(_MMAP_THRESHOLD, _KEPT // 2)
