"""The stock port's listening socket, in the shape that `multiprocessing.managers.Server` expects.

It hands out plain sockets: nothing that a stranger sends or withholds can hold up `accept`.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Final

_BACKLOG: Final = 512


class StockListener:
    """Listens at `address`; `address` then tells the port that was picked."""

    def __init__(self, address: tuple[str, int], backlog: int = _BACKLOG) -> None:
        host, port = address
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self._socket = socket.create_server(place[:2], family=family, backlog=max(backlog, _BACKLOG))
        self.address: tuple[Any, ...] = self._socket.getsockname()[:2]

    def accept(self) -> socket.socket:
        """Return the next connection's socket; raises `OSError` once the listener is closed."""
        return self._socket.accept()[0]

    def close(self) -> None:
        """Stop listening, and wake a thread that waits in `accept`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
