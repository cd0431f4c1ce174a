"""A door and those who try it: a real master with both ports, and a watch on its memory and its honest clients.

Masters are started once for each kind of door and shared by the tests of a module, so that what one test leaves
behind would show in the next. It knows the wire as a stranger does, and keys as their holders do.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Client
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import pytest
from real_programs import Programs, eventually, private_grid

from taskgrid.transport.connection import LOST, Connection
from taskgrid.transport.dial import dial
from taskgrid.transport.frames import Packed, pack_request
from taskgrid.transport.keys import read_key
from taskgrid.transport.manager import GridManager
from taskgrid.transport.stock import read_or_make_key

LONG = os.environ.get("TASKGRID_FAULTS") == "long"
MOST_GROWTH = 16 << 20
"""Bytes: what a master may have grown by, whatever it was sent."""
PATIENCE = 20.0
OWN = ".".join(map(str, sys.version_info[:2]))
PYTHONS = ("3.11", "3.12", "3.13")


class Kind(NamedTuple):
    """A master's Python, and whether its connections are under TLS."""

    python: str
    tls: bool


KINDS = [
    pytest.param(Kind(python, tls), id=f"{python}-{'tls' if tls else 'plain'}")
    for python in (PYTHONS if LONG else (OWN,))
    for tls in (False, True)
]


class Door:
    """A master that serves on both ports."""

    def __init__(self, programs: Programs, kind: Kind) -> None:
        self.programs = programs
        self.kind = kind
        self.tls = kind.tls
        self.stock_key_file = programs.folder / "stock.key"
        self.stock_key = read_or_make_key(self.stock_key_file)
        self.stock_address = ("127.0.0.1", _free_port())
        self.first_key = read_key(programs.key_file)
        flags = [f"--stock-port={self.stock_address[1]}", f"--stock-key-file={self.stock_key_file}"]
        self.master = programs.start_master("--tls" if kind.tls else "--no-tls", *flags)
        self.address = ("127.0.0.1", int(programs.server.rpartition(":")[2]))
        for _ in range(3):
            self.serve_the_honest()
        self.memory_at_start = self.memory()

    def memory(self) -> int:
        """Return the bytes that the master has resident."""
        status = Path(f"/proc/{self.master.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) << 10

    def serve_the_honest(self) -> None:
        """Call both ports as clients with the right keys do; each call has its own deadline."""
        with GridManager([f"127.0.0.1:{self.address[1]}"], self.first_key, reconnect_for=PATIENCE) as grid:
            assert grid.get_control().health()[0].ok
        self.serve_the_textbook()

    def serve_the_textbook(self) -> None:
        """Put and get an item at the stock port."""
        eventually(self._put_and_get, PATIENCE, "the stock port serves")

    def holds(self) -> None:
        """Fail unless the master lives, serves both kinds of clients, and has not grown."""
        assert self.master.poll() is None, self.programs.said()
        self.serve_the_honest()
        eventually(lambda: self.memory() - self.memory_at_start < MOST_GROWTH, PATIENCE, "its memory is as before")
        assert "Traceback" not in self.programs.said()

    def key(self, role: str) -> bytes:
        """Return a role's key."""
        return read_key(self.programs.key_file.with_name(f"{role}.key"))

    def connect(self) -> socket.socket:
        """Connect to the grid's port, and say nothing yet."""
        return socket.create_connection(self.address, timeout=PATIENCE)

    def connect_stock(self) -> socket.socket:
        """Connect to the stock port, and say nothing yet."""
        return socket.create_connection(self.stock_address, timeout=PATIENCE)

    def dial(self, port: int = 0, key: bytes | None = None) -> Connection:
        """Connect to the grid's port, or one that relays to it, with a key."""
        return dial(
            ("127.0.0.1", port or self.address[1]), authkey=self.first_key if key is None else key, timeout=PATIENCE
        )

    def _put_and_get(self) -> bool:
        with suppress(EOFError, OSError), Client(self.stock_address, authkey=self.stock_key) as line:
            line.send((None, "accept_connection", ("an honest client",), {}))
            assert line.recv() == ("#RETURN", None)
            line.send(("get_result_queue", "put", ([1, "two"],), {}))
            assert line.recv() == ("#RETURN", None)
            line.send(("get_result_queue", "get", (), {}))
            return bool(line.recv() == ("#RETURN", [1, "two"]))
        return False


Doors = Callable[[Kind], Door]


@contextmanager
def opened_doors(folder: Path) -> Iterator[Doors]:
    """Give masters by their kind, each started when it is asked for first; all end with the block."""
    doors: dict[Kind, Door] = {}
    with ExitStack() as grids:

        def door(kind: Kind) -> Door:
            if kind not in doors:
                python = _python(kind.python)
                place = Path(mkdtemp(prefix=f"{kind.python}-", dir=folder))  # anew, should the last start have failed
                doors[kind] = Door(grids.enter_context(private_grid(place, python=(python,))), kind)
            return doors[kind]

        yield door


def _python(version: str) -> str:
    """Return a Python of that version that has this TaskGrid, or skip the test."""
    if version == OWN:
        return sys.executable
    from test_mixed_pythons import environment

    return str(environment(version))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ------------------------------------------------------------ what hostile peers do


def ask(connection: Connection, number: int = 1) -> bool:
    """Say `health` on a bare connection; False when it was closed instead of answered."""
    try:
        connection.send(pack_request(number, "health", b"{}", ()))
        return connection.receive(PATIENCE).envelope.ok
    except LOST:
        return False


def closed_after(connection: Connection, data: bytes) -> bool:
    """Send bytes as one frame of a key holder's, sealed rightly; say whether the connection ended without an answer."""
    try:
        connection.send(Packed([data], len(data)))
        connection.receive(PATIENCE)
    except TimeoutError:
        return False
    except LOST:
        return True
    finally:
        connection.close()
    return False


def rest_of(sock: socket.socket) -> bytes:
    """Return what a peer still says until it closes; fail if it goes on for ever."""
    heard = b""
    with suppress(ConnectionResetError, BrokenPipeError):
        while data := sock.recv(1 << 16):
            heard += data
            assert len(heard) < 1 << 20
    return heard


def say(sock: socket.socket, data: bytes) -> bytes:
    """Say something as a stranger, close our side, and return what comes back until the peer closes its own."""
    with sock:
        with suppress(OSError):  # it may have closed already
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        return rest_of(sock)


def stock_frame(body: bytes) -> bytes:
    """Frame bytes as the standard library does."""
    return struct.pack("!i", len(body)) + body


def stock_line(door: Door) -> Any:
    """Log in at the stock port, and become a proxy's connection."""
    line: Any = Client(door.stock_address, authkey=door.stock_key)
    line.send((None, "accept_connection", ("a key holder",), {}))
    assert line.recv() == ("#RETURN", None)
    return line
