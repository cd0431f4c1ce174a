"""One connection of a textbook client: frames with deadlines, read by one thread.

A frame is a 4-byte length and the body. Whatever goes wrong closes the connection and comes out as
`EOFError`, so that a thread that serves one ends quietly. From accept to the first request one
absolute deadline holds, against silent and slow strangers; later a peer may be idle, but not stop
inside a frame, nor refuse to read its answer. It knows nothing of what the frames mean.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from taskgrid.clock import Clock
from taskgrid.transport.stock.decode import decode
from taskgrid.transport.stock.encode import encode

_HEADER: Final = struct.Struct("!i")
_SHORTEST_WAIT: Final = 0.001
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000))


@dataclass(frozen=True)
class Limits:
    """What one peer, and all of them together, may take. Times are in seconds."""

    connections: int = 4096
    strangers: int = 1280  # a thousand silent ones leave room
    shed_after: float = 1.0  # a stranger without progress for so long makes room for the next
    login: float = 5.0  # from accept to the first request
    frame: float = 15.0  # from a frame's first byte to its last
    send: float = 15.0
    frame_bytes: int = 8 << 20


class StockConnection:
    """A peer's connection; only its own thread may use it, except for `hang_up`."""

    def __init__(
        self, sock: socket.socket, limits: Limits, clock: Clock, forget: Callable[[StockConnection], None]
    ) -> None:
        self._socket = sock
        self._limits = limits
        self._clock = clock
        self._forget = forget
        self._closed = threading.Event()
        self.progress_at = clock.now()
        self.login_by: float | None = self.progress_at + limits.login
        _tune(sock)

    def send(self, value: Any) -> None:
        """Send a plain value."""
        self.send_bytes(encode(value))

    def recv(self) -> Any:
        """Receive a plain value; raises `Undecodable` with the connection still usable after the login."""
        return decode(self.recv_bytes(self._limits.frame_bytes))

    def send_bytes(self, data: bytes) -> None:
        """Send one frame, in one segment train; raises `EOFError` unless the system took all of it."""
        try:
            self._socket.settimeout(self._left(self._clock.now() + self._limits.send))
            self._socket.sendall(_HEADER.pack(len(data)) + data)
        except OSError as error:
            self.close()
            raise EOFError(str(error)) from error

    def recv_bytes(self, maxlength: int) -> bytes:
        """Receive one frame of at most `maxlength` bytes."""
        try:
            first = self._receive(1, None)
            by = self._clock.now() + self._limits.frame
            (size,) = _HEADER.unpack(first + self._receive(_HEADER.size - 1, by))
            if not 0 <= size <= maxlength:
                raise ConnectionError(f"a frame of {size} bytes")
            return bytes(self._receive(size, by))
        except OSError as error:
            self.close()
            raise EOFError(str(error)) from error

    def is_open(self) -> bool:
        """Say whether the peer still has its end, without waiting."""
        try:
            self._socket.settimeout(0)
            return self._socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def hang_up(self) -> None:
        """End the connection from another thread; its own thread then closes it."""
        # Closing here could free the descriptor while its thread still reads from that number.
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._forget(self)
        self.hang_up()
        self._socket.close()

    def _receive(self, size: int, by: float | None) -> bytearray:
        received = bytearray(size)
        view = memoryview(received)
        while view:
            self._socket.settimeout(self._left(by))
            _acknowledge_at_once(self._socket)
            count = self._socket.recv_into(view)
            if not count:
                raise ConnectionError("the peer closed the connection")
            self.progress_at = self._clock.now()
            view = view[count:]
        return received

    def _left(self, by: float | None) -> float | None:
        limits = [limit for limit in (by, self.login_by) if limit is not None]
        if not limits:
            return None
        left = min(limits) - self._clock.now()
        if left <= 0:
            raise TimeoutError("the deadline passed")
        return max(left, _SHORTEST_WAIT)


def _tune(sock: socket.socket) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _acknowledge_at_once(sock: socket.socket) -> None:
    # A textbook client writes twice before it reads, without TCP_NODELAY: its second write waits for
    # our acknowledgement, which the system would delay by 40 ms. The option wears off, hence each time.
    if hasattr(socket, "TCP_QUICKACK") and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
