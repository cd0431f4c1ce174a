"""Who a job is signed by: `user@host`, shown and not proven."""

from __future__ import annotations

import getpass
import socket
from functools import cache


@cache
def owner() -> str:
    """Return `user@host` of this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in many containers
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
