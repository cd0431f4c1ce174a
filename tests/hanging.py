"""Strangers who say the beginning of a handshake and then hang, at each of its stages."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from taskgrid.transport.handshake import CLIENT_HELLO, MAGIC, PROOF_SIZE
from taskgrid.transport.tls import client_context

STAGES = ("nothing", "half a hello", "a hello", "half of what follows")
AFTER_TLS_HELLO = "all of what follows"
"""For a door with TLS alone: without it, that is a proof, and is judged."""


def words_until(stage: str, *, tls: bool) -> bytes:
    """Return all that is said before the stranger hangs."""
    hello = CLIENT_HELLO.pack(MAGIC, tls, 1, *[0] * 7, bytes(32))
    follows = _tls_hello() if tls else bytes(PROOF_SIZE)
    return {
        "nothing": b"",
        "half a hello": hello[: len(hello) // 2],
        "a hello": hello,
        "half of what follows": hello + follows[: len(follows) // 2],
        AFTER_TLS_HELLO: hello + follows,
    }[stage]


@contextmanager
def crowd(many: int, connect: Callable[[], socket.socket], words: bytes) -> Iterator[list[socket.socket]]:
    """Have so many connect, say that, and hang while the block runs."""
    hanging: list[socket.socket] = []
    try:
        for _ in range(many):
            hanging.append(connect())
            with suppress(OSError):  # it may have been cut off already
                hanging[-1].sendall(words)
        yield hanging
    finally:
        for sock in hanging:
            sock.close()


def _tls_hello() -> bytes:
    said = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        client_context().wrap_bio(ssl.MemoryBIO(), said).do_handshake()
    return said.read()
