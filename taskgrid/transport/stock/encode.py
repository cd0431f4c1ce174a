"""Writes what textbook clients unpickle: plain values that `decode` gave or that we made ourselves.

Pickle is dangerous to read, not to write. Protocol 4 is the newest that every supported Python
writes by default, so each of them reads it. Nothing that a peer could name is ever written: the
only classes are those of `queue.Empty` and `queue.Full`, which every client has.
"""

from __future__ import annotations

import pickle  # only ever written with; what is read goes through `decode`
from typing import Any, Final

_PROTOCOL: Final = 4


def encode(value: Any) -> bytes:
    """Return `value`, which is plain or an error of the module `queue`, as textbook clients read it."""
    return pickle.dumps(value, _PROTOCOL)
