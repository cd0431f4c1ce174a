"""Connections that say nothing: they take no thread, and miss nothing by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from transport_world import KEY, LEASE, Probe, ask, manager, serving, wait_until

from taskgrid.transport.connection import Connection
from taskgrid.transport.dial import dial
from taskgrid.transport.frames import pack_request
from taskgrid.transport.idle import _ENOUGH
from taskgrid.transport.limits import Limits
from taskgrid.transport.protocol import ExtendRequest, LeaseReply
from taskgrid.transport.server import GridServer

_SOON_SILENT = Limits(silence=0.01)

both = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@pytest.fixture
def probe() -> Probe:
    """Make a service that can be watched."""
    return Probe()


@contextmanager
def dialled(server: GridServer, count: int) -> Iterator[list[Connection]]:
    """Make connections that have asked once, and are idle."""
    with ExitStack() as stack:
        connections = [dial(server.address, authkey=KEY) for _ in range(count)]
        for connection in connections:
            stack.callback(connection.close)
            assert ask(connection)
        assert wait_until(lambda: len(server._idle) == count)
        yield connections


def fail(_thread: threading.Thread) -> None:
    """Start no thread."""
    raise RuntimeError("can't start new thread")


@both
def test_idle_connections_hold_no_threads_and_are_answered_when_they_speak(probe: Probe, tls: bool) -> None:
    """However many there are, a few threads listen for them all; none of them is forgotten or mixed up."""
    crowd = 2 * _ENOUGH
    with serving(probe, tls=tls, limits=_SOON_SILENT) as server, dialled(server, crowd) as connections:
        assert wait_until(lambda: len(server._threads) <= _ENOUGH)
        for number in range(2, 5):
            assert all(ask(connection, number) for connection in connections)
        assert wait_until(lambda: len(server._idle) == crowd)
        assert wait_until(lambda: len(server._threads) <= _ENOUGH)
    assert len(probe.gone) == crowd


@both
def test_idle_connections_that_all_speak_at_once_are_all_served_at_once(probe: Probe, tls: bool) -> None:
    """Calls that block hold up no others, though fewer threads had been listening than there are calls."""
    crowd = 2 * _ENOUGH
    with serving(probe, tls=tls, limits=_SOON_SILENT) as server, manager(server.address[1]) as grid:
        queues = [grid.get_task_queue() for _ in range(crowd)]
        for queue in queues:
            probe.let_go.set()
            queue.extend(ExtendRequest(worker=LEASE.worker))
        assert wait_until(lambda: len(server._idle) == crowd)
        probe.let_go.clear()
        calls = [threading.Thread(target=queue.extend, args=(ExtendRequest(worker="w" * 32),)) for queue in queues]
        for call in calls:
            call.start()
        assert wait_until(lambda: not server._idle)
        assert grid.get_control().health()[0].ok
        probe.let_go.set()
        for call in calls:
            call.join(30)
            assert not call.is_alive()


@both
def test_long_poll_of_an_idle_connection_is_answered_from_another_thread(probe: Probe, tls: bool) -> None:
    """Who waits for work has no thread, and the next call on its connection is as any."""
    answers: list[float] = []
    with serving(probe, tls=tls, limits=_SOON_SILENT) as server, manager(server.address[1]) as grid:
        queue = grid.get_task_queue()
        for ttl in (1.0, 2.0):
            probe.polling.clear()
            caller = threading.Thread(target=lambda: answers.append(queue.lease(LEASE)[0].ttl))
            caller.start()
            assert probe.polling.wait(30)
            assert wait_until(lambda: len(server._idle) == 1)
            probe.polls[-1].settle((LeaseReply(ttl=ttl), ()))
            caller.join(30)
    assert answers == [1.0, 2.0]


@both
def test_end_of_an_idle_connection_is_told_at_once_and_takes_its_thread_along(probe: Probe, tls: bool) -> None:
    """The service hears of each; what listened for them all does not stay behind."""
    with serving(probe, tls=tls, limits=_SOON_SILENT) as server:
        with dialled(server, 10):
            assert not probe.gone
        assert wait_until(lambda: len(probe.gone) == 10)
        assert wait_until(lambda: len(server._threads) == 1)


def test_server_with_idle_connections_stops_at_once(probe: Probe) -> None:
    """It has their ends to read, and no peer to wait for."""
    with serving(probe, limits=_SOON_SILENT) as server, dialled(server, 2 * _ENOUGH):
        begun = time.monotonic()
        server.stop(20.0)
        assert time.monotonic() - begun < 5.0
        assert len(probe.gone) == 2 * _ENOUGH


@both
def test_frame_in_pieces_of_an_idle_connection_is_read_whole(probe: Probe, tls: bool) -> None:
    """Its first bytes wake a thread, which stays for the rest, longer than it would for a silence."""
    with serving(probe, tls=tls, limits=_SOON_SILENT) as server, dialled(server, 1) as (connection,):
        whole = b"".join(connection._sealed(pack_request(2, "health", b"{}", ())).pieces)
        for at in range(0, len(whole), 20):
            connection.stream.send([whole[at : at + 20]], len(whole[at : at + 20]), 5.0)
            time.sleep(0.05)
        assert connection.receive(30.0).envelope.ok


def test_without_a_thread_to_spare_those_there_are_serve_all(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no more threads for us makes calls wait for each other, and loses none."""
    patient = Limits(silence=30.0)  # so that only the lack of a listener makes a thread leave its caller
    with serving(probe, limits=_SOON_SILENT) as server, dialled(server, 3) as connections:
        assert wait_until(lambda: len(server._threads) == 3)
        monkeypatch.setattr(server, "_limits", patient)
        monkeypatch.setattr(threading.Thread, "start", fail)
        for number in range(2, 5):
            assert all(ask(connection, number) for connection in connections)
        monkeypatch.undo()
