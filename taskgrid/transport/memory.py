"""What the C library keeps of memory that was given back, and how to make it keep less.

glibc learns from the first large block that is freed to keep all such blocks, in an arena for each thread: a
master that was sent a few frames of 8 MiB would never again be as small as it was. Fixed thresholds undo that. Many
small blocks stay with it too, freed between others that are not, until it is asked to look for whole pages.
Other C libraries are left as they are. It knows nothing of what the memory is for.

Source: mallopt(3), malloc_trim(3).
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

_LARGE: Final = 2 << 20  # bytes: above the pieces that chunks and reports are cut into
_SPARE: Final = 1 << 20


def give_large_blocks_back() -> None:
    """Have freed memory returned to the system, whatever was sent before; harmless where that can't be asked for."""
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_M_TRIM_THRESHOLD, _SPARE)
        library.mallopt(_M_ARENA_MAX, 2)


def give_free_pages_back() -> None:
    """Have the pages that are free among those in use returned to the system; takes some milliseconds."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
