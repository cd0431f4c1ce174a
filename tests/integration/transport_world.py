"""What the transport's tests share: a service that can be watched, a server around it, and a relay in between."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from relay import Change, Relay

from taskgrid.errors import Busy
from taskgrid.transport.connection import LOST, Connection
from taskgrid.transport.frames import pack_request
from taskgrid.transport.key_table import KeyTable
from taskgrid.transport.keys import new_key
from taskgrid.transport.limits import Limits
from taskgrid.transport.manager import GridManager
from taskgrid.transport.protocol import (
    Answer,
    Cursor,
    Deferred,
    Empty,
    ExtendReply,
    ExtendRequest,
    FetchReply,
    FetchRequest,
    HealthReply,
    LeaseReply,
    LeaseRequest,
    Parts,
    Peer,
    Role,
    WorkersReply,
)
from taskgrid.transport.server import GridServer, serve
from taskgrid.transport.stream import Stream

__all__ = [
    "CLIENT_KEY",
    "KEY",
    "KEYS",
    "LEASE",
    "Probe",
    "Relay",
    "ask",
    "listening",
    "manager",
    "serving",
    "soon",
    "stranger_at",
    "stream_to",
    "wait_until",
]

KEY = new_key()
CLIENT_KEY = new_key()
KEYS = KeyTable([(KEY, frozenset(Role)), (CLIENT_KEY, frozenset({Role.CLIENT}))])
LEASE = LeaseRequest(worker="w" * 32, nonce="n", bundles=1, wait=30.0)


@dataclass
class Probe:
    """Echoes parts, polls in `lease`, blocks in `extend`, and remembers who came and went."""

    calls: list[str] = field(default_factory=list)
    gone: list[Peer] = field(default_factory=list)
    polling: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    polls: list[Deferred] = field(default_factory=list)
    peer: Peer | None = None

    def disconnected(self, peer: Peer) -> None:
        """Note who went."""
        self.gone.append(peer)

    def health(self, peer: Peer, _request: Empty, parts: Parts) -> tuple[HealthReply, Parts]:
        """Echo the parts."""
        self.calls.append("health")
        return HealthReply(ok=True, version=peer.address, epoch=len(self.calls)), parts

    def lease(self, peer: Peer, request: LeaseRequest, _parts: Parts) -> Answer | Deferred:
        """Answer if let go; else poll for ever."""
        del request
        self.peer = peer
        if self.let_go.is_set():
            return LeaseReply(ttl=99.0), ()
        self.polls.append(Deferred())
        self.polling.set()
        return self.polls[-1]

    def fetch(self, _peer: Peer, request: FetchRequest, _parts: Parts) -> Deferred:
        """Answer as often as asked for, one by one."""
        answers = [(FetchReply(cursor=Cursor(), complete=False, sequence=n), ()) for n in range(request.answers)]
        poll = Deferred()
        threading.Thread(target=_give, args=(poll, answers), daemon=True).start()
        return poll

    def extend(self, _peer: Peer, _request: ExtendRequest, _parts: Parts) -> Answer:
        """Wait to be let go, on the connection's own thread."""
        self.polling.set()
        self.let_go.wait(30)
        return ExtendReply(ttl=99.0), ()

    def status(self, _peer: Peer, _request: Empty, _parts: Parts) -> None:
        """Refuse."""
        raise Busy("Too many jobs.", why="10 of 10.", hint="Wait.", limit=10)

    def workers(self, _peer: Peer, _request: Empty, _parts: Parts) -> tuple[WorkersReply, Parts]:
        """Fail as no service should."""
        raise ZeroDivisionError("a defect in the service")

    def explain(self, _peer: Peer, _request: object, _parts: Parts) -> tuple[HealthReply, Parts]:
        """Answer more than a frame can hold."""
        return HealthReply(ok=True, version="", epoch=0), (bytes(9 << 20),)


def _give(poll: Deferred, answers: list[Answer]) -> None:
    for answer in answers[:-1]:
        assert wait_until(partial(poll.give, answer))
    poll.settle(answers[-1])


def wait_until(holds: Callable[[], object], within: float = 30.0) -> bool:
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
        server.stop(30.0)
        assert not server._threads, "a connection's thread outlived its server"


@contextmanager
def manager(port: int, key: bytes = KEY, *, reconnect_for: float = 10.0) -> Iterator[GridManager]:
    """Make a manager that is closed after the block."""
    with GridManager([f"127.0.0.1:{port}"], key, reconnect_for=reconnect_for) as made:
        yield made


def stream_to(port: int) -> Stream:
    """Connect, and say nothing yet."""
    return Stream(stranger_at(port))


def stranger_at(port: int) -> socket.socket:
    """Connect without a key."""
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def soon() -> float:
    """Give a handshake its deadline."""
    return time.monotonic() + 30


def ask(connection: Connection, number: int = 1) -> bool:
    """Say `health` on a bare connection; False when it was closed instead of answered."""
    try:
        connection.send(pack_request(number, "health", b"{}", ()))
        return connection.receive(30.0).envelope.ok
    except LOST:
        return False


def listening(to: str, heard: list[bytes]) -> Change:
    """Return what keeps all that passes one way, and changes nothing."""

    def listen(way: str, data: bytes) -> bytes:
        if way == to:
            heard.append(data)
        return data

    return listen
