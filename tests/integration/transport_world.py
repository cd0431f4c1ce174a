"""What the transport's tests share: a service that can be watched, a server around it, and a relay in between."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from taskgrid.errors import Busy
from taskgrid.transport.keys import KeyTable, new_key
from taskgrid.transport.limits import Limits
from taskgrid.transport.manager import GridManager
from taskgrid.transport.protocol import Empty, HealthReply, LeaseReply, LeaseRequest, Parts, Peer, Role, WorkersReply
from taskgrid.transport.server import GridServer, serve

KEY = new_key()
CLIENT_KEY = new_key()
KEYS = KeyTable([(KEY, frozenset(Role)), (CLIENT_KEY, frozenset({Role.CLIENT}))])
LEASE = LeaseRequest(worker="w" * 32, nonce="n", bundles=1, wait=30.0)


@dataclass
class Probe:
    """Echoes parts, blocks in `lease` until told or left, and remembers who came and went."""

    calls: list[str] = field(default_factory=list)
    gone: list[Peer] = field(default_factory=list)
    polling: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    peer: Peer | None = None

    def disconnected(self, peer: Peer) -> None:
        """Note who went."""
        self.gone.append(peer)

    def health(self, peer: Peer, _request: Empty, parts: Parts) -> tuple[HealthReply, Parts]:
        """Echo the parts."""
        self.calls.append("health")
        return HealthReply(ok=True, version=peer.address, epoch=len(self.calls)), parts

    def lease(self, peer: Peer, request: LeaseRequest, _parts: Parts) -> tuple[LeaseReply, Parts]:
        """Wait to be let go, or for the peer to go."""
        self.peer = peer
        self.polling.set()
        wait_until(lambda: self.let_go.is_set() or peer in self.gone, request.wait)
        return LeaseReply(ttl=99.0), ()

    def status(self, _peer: Peer, _request: Empty, _parts: Parts) -> None:
        """Refuse."""
        raise Busy("Too many jobs.", why="10 of 10.", hint="Wait.", limit=10)

    def workers(self, _peer: Peer, _request: Empty, _parts: Parts) -> tuple[WorkersReply, Parts]:
        """Fail as no service should."""
        raise ZeroDivisionError("a defect in the service")

    def explain(self, _peer: Peer, _request: object, _parts: Parts) -> tuple[HealthReply, Parts]:
        """Answer more than a frame can hold."""
        return HealthReply(ok=True, version="", epoch=0), (bytes(9 << 20),)


def wait_until(holds: Callable[[], object], within: float = 5.0) -> bool:
    """Wait for something to become true; say whether it did in time."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


@contextmanager
def serving(
    probe: Probe, *, tls: bool = False, limits: Limits | None = None, port: int = 0, host: str = "127.0.0.1"
) -> Iterator[GridServer]:
    """Serve the probe while the block runs."""
    server = serve((host, port), KEYS, probe, tls=tls, limits=limits or Limits())
    server.start()
    try:
        yield server
    finally:
        probe.let_go.set()
        server.stop(5.0)
        assert not server._threads, "a connection's thread outlived its server"


@contextmanager
def manager(port: int, key: bytes = KEY, *, reconnect_for: float = 10.0) -> Iterator[GridManager]:
    """Make a manager that is closed after the block."""
    with GridManager([f"127.0.0.1:{port}"], key, reconnect_for=reconnect_for) as made:
        yield made


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
