"""A wire that does one wrong thing at one byte: cuts, delays, or says a byte twice.

It passes all bytes on, both ways, for any number of connections, and counts them from when it was
armed. The deed is done once, at an offset of one direction; after that it is a wire like any other.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from enum import StrEnum
from typing import Final, Self

UP, DOWN = "up", "down"
_DELAY: Final = 0.02


class Deed(StrEnum):
    """What goes wrong."""

    CUT = "cut"
    DELAY = "delay"
    REPEAT = "repeat"


class Wire:
    """Listens on a port of its own and leads to another; `passed` counts bytes by direction since it was armed."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.server = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.passed = {UP: 0, DOWN: 0}
        self._armed: tuple[str, int, Deed] | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in tuple(self._open):
            _end(end)

    def arm(self, way: str = UP, offset: int = 0, deed: Deed | None = None) -> None:
        """Count from here on, and do the deed after that many bytes of that direction."""
        with self._lock:
            self.passed = {UP: 0, DOWN: 0}
            self._armed = (way, offset, deed) if deed else None

    @property
    def done(self) -> bool:
        """Say whether the deed was done."""
        return self._armed is None

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self._target))
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._open.add(end)
                for way, source, target in ((UP, near, far), (DOWN, far, near)):
                    threading.Thread(target=self._pass_on, args=(way, source, target), daemon=True).start()

    def _pass_on(self, way: str, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if not self._send(way, data, target):
                    break
        for end in (source, target):
            _end(end)
            self._open.discard(end)

    def _send(self, way: str, data: bytes, target: socket.socket) -> bool:
        """Pass data on, or do the deed if its byte is among it; say whether the connection goes on."""
        with self._lock:
            before = self.passed[way]
            self.passed[way] += len(data)
            armed = self._armed
            if armed is None or armed[0] != way or not before <= armed[1] < before + len(data):
                deed, at = None, len(data)
            else:
                deed, at, self._armed = armed[2], armed[1] - before, None
        target.sendall(data[:at])
        if deed is Deed.CUT:
            return False
        if deed is Deed.DELAY:
            time.sleep(_DELAY)
        if deed is Deed.REPEAT:
            target.sendall(data[at : at + 1])
        target.sendall(data[at:])
        return True


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
