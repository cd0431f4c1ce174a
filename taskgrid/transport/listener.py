"""The server's socket: a port that is never lost, and never spins.

It accepts, and nothing else: not the handshake, which would let one silent peer hold up all others. When
descriptors run out it spends a reserved one to turn the next peer away, instead of trying for ever.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import Final

from taskgrid.errors import UsageError
from taskgrid.transport.address import Address, format_address
from taskgrid.transport.limits import Limits

_BACKLOG: Final = Limits().backlog


class Listener:
    """A listening socket; `address` is where it is, its port chosen if 0 was asked for."""

    def __init__(self, address: Address, family: str | None = None, backlog: int = _BACKLOG) -> None:  # noqa: ARG002  # the standard manager's signature; getaddrinfo finds the family
        self._socket = _listen(address, max(backlog, _BACKLOG))
        self._socket.setblocking(False)
        self.address: Address = self._socket.getsockname()[:2]
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._reserve = os.open(os.devnull, os.O_RDONLY)

    def fileno(self) -> int:
        """Return the descriptor to wait on for peers."""
        return self._socket.fileno()

    @property
    def waker(self) -> socket.socket:
        """Return what can be read once `wake` was called."""
        return self._wake_reader

    def take(self) -> socket.socket | None:
        """Accept a peer that waits; None if there is none, or it had to be turned away.

        Raises `OSError` if there were not even descriptors for that.
        """
        try:
            return self._socket.accept()[0]
        except (BlockingIOError, ConnectionAbortedError):
            return None
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._turn_away()
            return None

    def wake(self) -> None:
        """End a wait for `waker`, now and from now on."""
        with suppress(OSError):
            self._wake_writer.send(b"x")

    def close(self) -> None:
        """Give the port back; for the thread that accepts, or after it ended."""
        for end in (self._socket, self._wake_reader, self._wake_writer):
            end.close()
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1

    def _turn_away(self) -> None:
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1
            with suppress(OSError):
                self._socket.accept()[0].close()
        self._reserve = os.open(os.devnull, os.O_RDONLY)


def _listen(address: Address, backlog: int) -> socket.socket:
    host, port = address
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, number, _, place = found[0]
        sock = socket.socket(family, kind, number)
    except OSError as error:
        raise _cannot_listen(address, error) from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(place)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise _cannot_listen(address, error) from None
    return sock


def _cannot_listen(address: Address, error: OSError) -> UsageError:
    return UsageError(
        f"Can't listen on {format_address(address)}.",
        why=error.strerror or str(error),
        hint="Another master may run there already; --port chooses another port, --host another interface.",
    )
