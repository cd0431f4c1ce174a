"""A TCP connection, plain or under TLS: bytes in, bytes out, each with a deadline.

One thread at a time reads and one writes; any thread may `shutdown`, which wakes those that wait. Only
the owner closes, since a closed descriptor's number is soon another's. It knows no frames and no keys.

Plain sockets stay in blocking mode with the kernel's own timeouts: Python's would cost a `poll` for each
read. Under TLS the socket does not block, and whoever must wait does so outside the session's lock: a
session of OpenSSL is for one thread at a time, even if one only reads and the other only writes.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import Final

_GATHER_FROM: Final = 128 << 10  # bytes: below, one copy is cheaper than many pieces
_GATHER_PIECES: Final = 512  # IOV_MAX is 1024

_WANTS: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError)

_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),  # without it a frame waits 40 ms for an acknowledgement
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
)


def left(deadline: float) -> float:
    """Return the seconds until `deadline`, on the monotonic clock. Raises `TimeoutError` when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the peer was too slow")
    return seconds


class Stream:
    """A connected socket and its deadlines; `peer` is the other end's address."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._tls = False
        self._ended = False
        self._closed = False
        self._guard = threading.Lock()  # between the owner's close and another's shutdown
        self._session = threading.Lock()  # of TLS
        self._armed: dict[int, float | None] = {}
        sock.settimeout(None)
        for level, option, value in _KEEPALIVE:
            sock.setsockopt(level, option, value)
        self.peer: tuple[str, int] = sock.getpeername()[:2]

    def secure(self, context: ssl.SSLContext, *, server: bool) -> Generator[int, None, None]:
        """Put TLS on top, as its server or its client, and yield the bytes to wait for. Raises `OSError`."""
        with self._guard:
            if self._ended:
                raise ConnectionAbortedError("shut down")
            self._socket.getpeername()  # raises if the peer is gone: ssl would leave that half wrapped
            wrapped = context.wrap_socket(self._socket, server_side=server, do_handshake_on_connect=False)
            self._socket, self._tls = wrapped, True
        self._armed.clear()
        wrapped.settimeout(0.0)
        while True:
            try:
                return wrapped.do_handshake()
            except ssl.SSLWantReadError:
                yield 1

    def peer_certificate(self) -> bytes:
        """Return the certificate (DER) that the other end showed under TLS."""
        if not isinstance(self._socket, ssl.SSLSocket):
            return b""
        return self._socket.getpeercert(binary_form=True) or b""

    def read_exactly(self, size: int, deadline: float) -> bytes:
        """Read `size` bytes and not one more. Raises `OSError` or `EOFError`."""
        buffer = memoryview(bytearray(size))
        have = 0
        while have < size:
            have += self.receive_into(buffer[have:], left(deadline))
        return bytes(buffer)

    def receive_at_once(self, size: int) -> bytes:
        """Read at most `size` bytes, without waiting: none if none have come. Raises `OSError` or `EOFError`."""
        try:
            data = self._socket.recv(size, 0 if self._tls else socket.MSG_DONTWAIT)
        except (BlockingIOError, *_WANTS):
            return b""
        if not data:
            raise EOFError("the peer closed the connection")
        return data

    def peek(self, size: int) -> bytes:
        """Return at most `size` bytes of what has come, and leave them there. Raises `OSError`."""
        try:
            return self._socket.recv(size, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""

    def wake_at(self, size: int) -> None:
        """Let whoever waits for bytes sleep until `size` of them are in. Raises `OSError`."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)

    def receive_into(self, buffer: memoryview, timeout: float | None) -> int:
        """Read at least one byte, within `timeout` seconds (None: whenever). Raises `OSError` or `EOFError`."""
        count = self._receive_sealed(buffer, timeout) if self._tls else self._receive_plain(buffer, timeout)
        if not count:
            raise EOFError("the peer closed the connection")
        return count

    def send(self, pieces: Sequence[bytes], size: int, timeout: float) -> None:
        """Write all pieces, `size` bytes together, within `timeout` seconds. Raises `OSError`."""
        deadline = time.monotonic() + timeout
        if self._tls:
            self._send_sealed(memoryview(b"".join(pieces)), deadline)
            return
        self._arm(socket.SO_SNDTIMEO, timeout)
        try:
            sent = self._send_once(pieces, size)
            if sent < size:
                self._send_rest(memoryview(b"".join(pieces))[sent:], deadline)
        except BlockingIOError:
            raise TimeoutError("the peer reads nothing") from None

    def send_at_once(self, pieces: Sequence[bytes], size: int) -> memoryview:
        """Write what the peer takes without being waited for; return the rest. Raises `OSError`."""
        if not self._tls:
            try:
                sent = self._send_once(pieces, size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            return memoryview(b"".join(pieces))[sent:] if sent < size else memoryview(b"")
        rest = memoryview(b"".join(pieces))
        with suppress(*_WANTS), self._session:
            while rest:
                rest = rest[self._socket.send(rest) :]
        return rest

    def wait(self, event: int, deadline: float | None) -> None:
        """Wait until bytes are there (`POLLIN`) or can be written (`POLLOUT`). Raises `TimeoutError`."""
        poller = select.poll()
        poller.register(self._socket, event)
        if not poller.poll(None if deadline is None else left(deadline) * 1000):
            raise TimeoutError("nothing came in time")

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._socket.fileno()

    def peer_open(self) -> bool:
        """Say whether the other end still has its side open, whatever it has sent before."""
        with self._guard:
            if self._closed:
                return False
            poller = select.poll()
            poller.register(self._socket, select.POLLRDHUP)
            return not poller.poll(0)

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        """End the connection from any thread; whoever waits on it wakes up."""
        with self._guard:
            self._ended = True
            if not self._closed:
                with suppress(OSError):  # the method of SSLSocket would also drop the session a reader is in
                    socket.socket.shutdown(self._socket, how)

    def close(self) -> None:
        """End the connection and give the descriptor back; for its owner."""
        self.shutdown()
        with self._guard:
            self._closed = True
            self._socket.close()

    def abandon(self) -> None:
        """Give the descriptor back and leave the connection to the parent; for a child just forked."""
        self._guard = threading.Lock()  # a thread that the child doesn't have may hold the old one
        self._ended = self._closed = True
        self._socket.close()

    def _arm(self, option: int, timeout: float | None) -> None:
        if self._armed.get(option, -1.0) != timeout:
            whole, part = divmod(int((timeout or 0) * 1e6), 1_000_000)
            soonest = 1 if timeout is not None and not whole else 0  # zero would mean for ever
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole, max(part, soonest)))
            self._armed[option] = timeout

    def _receive_plain(self, buffer: memoryview, timeout: float | None) -> int:
        self._arm(socket.SO_RCVTIMEO, timeout)
        try:
            return self._socket.recv_into(buffer)
        except BlockingIOError:
            raise TimeoutError("nothing came in time") from None

    def _receive_sealed(self, buffer: memoryview, timeout: float | None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                with self._session:
                    return self._socket.recv_into(buffer)
            except ssl.SSLWantReadError:
                self.wait(select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                self.wait(select.POLLOUT, deadline)

    def _send_sealed(self, data: memoryview, deadline: float) -> None:
        while data:
            try:
                with self._session:
                    data = data[self._socket.send(data) :]
            except ssl.SSLWantReadError:
                self.wait(select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                self.wait(select.POLLOUT, deadline)

    def _send_once(self, pieces: Sequence[bytes], size: int, flags: int = 0) -> int:
        if size < _GATHER_FROM or len(pieces) > _GATHER_PIECES:
            return self._socket.send(b"".join(pieces), flags)
        return self._socket.sendmsg(pieces, (), flags)

    def _send_rest(self, rest: memoryview, deadline: float) -> None:
        while rest:
            self._arm(socket.SO_SNDTIMEO, left(deadline))
            rest = rest[self._socket.send(rest) :]
