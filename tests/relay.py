"""Someone in the middle of a connection, who has no key: listens, passes on, changes, speaks up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

Change = Callable[[str, bytes], bytes]
"""Given the direction ("up" to the server, "down" to the client) and bytes, says what to pass on."""


class Relay:
    """Someone in the middle without a key; `change` may rewrite what passes, `ends` are both sockets."""

    def __init__(self, port: int, change: Change = lambda _way, data: data) -> None:
        self._port = port
        self._change = change
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.up: socket.socket | None = None
        self.down: socket.socket | None = None
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        ends = [end for end in (self._listener, self.up, self.down) if end]
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for end in ends:
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                down = self._listener.accept()[0]
            except OSError:
                return
            for end in (self.up, self.down):
                if end:
                    end.close()
            self.down, self.up = down, socket.create_connection(("127.0.0.1", self._port))
            for pump in (
                threading.Thread(target=self._pump, args=("up", down, self.up)),
                threading.Thread(target=self._pump, args=("down", self.up, down)),
            ):
                self._threads.append(pump)
                pump.start()

    def _pump(self, way: str, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(self._change(way, data))
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
