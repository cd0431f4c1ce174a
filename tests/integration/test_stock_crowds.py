"""The stock port's strangers, crowds and lack of threads: each costs a connection, and keeps nobody out."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client

import pytest
from stock_world import DEADLINE, KEY, Textbook, until

from taskgrid.clock import SystemClock
from taskgrid.transport.stock import Limits, StockServer


@pytest.fixture
def tight() -> Iterator[StockServer]:
    """Serve with room for four strangers, who have two seconds to log in."""
    limits = Limits(connections=12, strangers=4, shed_after=0.5, login=2.0)
    server = StockServer(("127.0.0.1", 0), KEY, {"get_task_queue": {"qsize": lambda _peer: 7}}, limits=limits)
    server.start()
    yield server
    server.stop(within=5)


def test_silent_strangers_do_not_keep_a_client_out(tight: StockServer) -> None:
    """However many connect and say nothing, an honest client comes in, and threads stay few."""
    address = (tight.address[0], tight.address[1])
    strangers = [socket.create_connection(address, timeout=DEADLINE) for _ in range(16)]
    try:
        manager = Textbook(address=address, authkey=KEY)
        manager.connect()
        assert manager.get_task_queue().qsize() == 7  # type: ignore[attr-defined]  # registered by name
        assert sum(thread.name == "stock" for thread in threading.enumerate()) <= 6
    finally:
        for stranger in strangers:
            stranger.close()


def test_a_slow_login_ends_at_its_deadline(tight: StockServer) -> None:
    """One byte now and then does not keep a stranger in."""
    clock = SystemClock()
    with socket.create_connection((tight.address[0], tight.address[1]), timeout=DEADLINE) as stranger:
        began = clock.now()
        stranger.recv(1 << 16)
        stranger.sendall(struct.pack("!i", 200))
        stranger.settimeout(0.2)
        ended = False
        while not ended and clock.now() < began + DEADLINE:
            ended = _trickle(stranger)
    assert ended
    assert clock.now() - began > 1


def _trickle(stranger: socket.socket) -> bool:
    try:
        stranger.sendall(b"\0")
        return stranger.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_connections_beyond_the_cap_are_told_so_and_closed(tight: StockServer) -> None:
    """The cap holds for those who logged in; one more hears which setting it is, and room is used again."""
    address = (tight.address[0], tight.address[1])
    lines = []
    try:
        for _ in range(12):
            lines.append(line := Client(address, authkey=KEY))
            line.send((None, "accept_connection", ("me",), {}))
            assert line.recv() == ("#RETURN", None)
        with Client(address, authkey=KEY) as line:
            line.send((None, "accept_connection", ("me",), {}))
            kind, words = line.recv()
            assert (kind, "stock_max_connections" in words) == ("#TRACEBACK", True)
            with pytest.raises((EOFError, OSError)):
                line.recv()
        assert (tight.logged_in, tight.turned_away) == (12, 1)
    finally:
        for line in lines:
            line.close()
    until(lambda: not tight._connections)
    with Client(address, authkey=KEY) as line:
        line.send((None, "dummy", (), {}))
        assert line.recv() == ("#RETURN", None)


def test_a_thread_that_cannot_start_costs_one_connection(tight: StockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service goes on after the system refused a thread."""
    address = (tight.address[0], tight.address[1])
    start = threading.Thread.start
    refusals = [1]

    def refusing(thread: threading.Thread) -> None:
        if thread.name == "stock" and refusals:
            refusals.pop()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refusing)
    with pytest.raises((EOFError, OSError)):
        Client(address, authkey=KEY)
    with Client(address, authkey=KEY) as line:
        line.send((None, "dummy", (), {}))
        assert line.recv() == ("#RETURN", None)
