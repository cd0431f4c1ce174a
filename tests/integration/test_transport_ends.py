"""Ends and long waits: who is closed, killed, stopped, or takes no answer, and who hears of it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from transport_world import KEY, LEASE, Probe, manager, serving, wait_until

from taskgrid.transport.channel import ChannelClosed
from taskgrid.transport.connection import LOST, Connection
from taskgrid.transport.frames import pack_request
from taskgrid.transport.handshake import greet
from taskgrid.transport.limits import Limits
from taskgrid.transport.manager import GridManager
from taskgrid.transport.protocol import MAX_FRAME, ExtendRequest, LeaseReply
from taskgrid.transport.stream import Stream

_LARGE = b"x" * (MAX_FRAME - (1 << 20))
"""More than the kernel keeps for a peer that does not read."""


@pytest.fixture
def probe() -> Probe:
    """Make a service that can be watched."""
    return Probe()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_close_from_another_thread_ends_a_long_poll(probe: Probe, tls: bool) -> None:
    """`close` is prompt, and says what happened to the call that waited."""
    with serving(probe, tls=tls) as server, manager(server.address[1]) as grid:
        queue = grid.get_task_queue()
        closer = threading.Thread(target=lambda: probe.polling.wait(30) and queue.close())
        closer.start()
        with pytest.raises(ChannelClosed):
            queue.lease(LEASE)
        closer.join()
        with pytest.raises(ChannelClosed):
            queue.lease(LEASE)


def test_proxy_made_after_its_manager_was_closed_is_closed_too() -> None:
    """Nobody connects behind the back of whoever closed."""
    grid = GridManager(["127.0.0.1:1"], KEY)
    grid.close()
    with pytest.raises(ChannelClosed):
        grid.get_control().health()


def test_close_ends_a_wait_for_a_master_that_is_away() -> None:
    """Nobody has to sit out the backoff of a channel that was closed."""
    waits = threading.Event()
    grid = GridManager(["127.0.0.1:1"], KEY, reconnect_for=None, on_wait=lambda _: waits.set())
    control = grid.get_control()
    closer = threading.Thread(target=lambda: waits.wait(30) and grid.close())
    closer.start()
    with pytest.raises(ChannelClosed):
        control.health()
    closer.join()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_kill_during_a_long_poll_is_told_to_the_service_at_once(probe: Probe, tls: bool) -> None:
    """The service hears once, while the poll still waits, and can ask whether a peer is there."""
    code = f"""
        from taskgrid.transport.manager import GridManager
        from taskgrid.transport.protocol import LeaseRequest
        import sys
        queue = GridManager(["127.0.0.1:" + sys.argv[1]], bytes.fromhex({KEY.hex()!r})).get_task_queue()
        queue.lease(LeaseRequest(worker="w", nonce="n", bundles=1, wait=30))
    """
    with serving(probe, tls=tls) as server:
        child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(server.address[1])])
        assert probe.polling.wait(30)
        assert probe.peer is not None
        assert server.peer_open(probe.peer.connection)
        child.kill()
        child.wait()
        assert wait_until(lambda: probe.gone, 20.0), "long before the poll would have ended"
        assert not server.peer_open(probe.peer.connection)
    assert probe.gone == [probe.peer]


def test_service_hears_once_of_each_connection_that_ends(probe: Probe) -> None:
    """Idle or not, a connection's end is told exactly once."""
    with serving(probe) as server, manager(server.address[1]) as grid:
        controls = [grid.get_control() for _ in range(3)]
        for control in controls:
            control.health()
        for control in controls:
            control.close()
        assert wait_until(lambda: len(probe.gone) == 3)
    assert len({peer.connection for peer in probe.gone}) == len(probe.gone) == 3


def test_call_in_progress_is_still_answered_when_the_server_stops(probe: Probe) -> None:
    """A stopping server stops listening first, and cuts connections later."""
    answers: list[float] = []
    with serving(probe) as server, manager(server.address[1]) as grid:
        queue = grid.get_task_queue()
        caller = threading.Thread(
            target=lambda: answers.append(queue.extend(ExtendRequest(worker=LEASE.worker))[0].ttl)
        )
        caller.start()
        assert probe.polling.wait(30)
        stopper = threading.Thread(target=server.stop, args=(20.0,))
        stopper.start()
        assert wait_until(server.stop_event.is_set)
        probe.let_go.set()
        caller.join(30)
        stopper.join(30)
    assert answers == [99.0]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [10, 4 << 20], ids=["small", "large"])
def test_long_poll_is_answered_from_another_thread(probe: Probe, tls: bool, size: int) -> None:
    """Whole and in its place, also when the peer does not take it all at once; the next call is as any."""
    part = b"x" * size
    answers: list[tuple[bytes, ...]] = []
    with serving(probe, tls=tls) as server, manager(server.address[1]) as grid:
        queue = grid.get_task_queue()
        for _ in range(3):
            probe.polling.clear()
            caller = threading.Thread(target=lambda: answers.append(queue.lease(LEASE)[1]))
            caller.start()
            assert probe.polling.wait(30)
            probe.polls[-1].settle((LeaseReply(ttl=1.0), (part,)))
            caller.join(30)
    assert answers == [(part,)] * 3


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_peer_that_takes_no_answer_holds_up_nobody(probe: Probe, tls: bool) -> None:
    """Who answers a poll is not the one who waits for a peer that stopped reading."""
    ask = f"""
        import sys
        from taskgrid.transport.manager import GridManager
        from taskgrid.transport.protocol import LeaseRequest
        queue = GridManager(["127.0.0.1:" + sys.argv[1]], bytes.fromhex({KEY.hex()!r})).get_task_queue()
        queue.lease(LeaseRequest(worker="w", nonce="n", bundles=1, wait=30))
    """
    with serving(probe, tls=tls, limits=Limits(send=1.0)) as server:
        child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(ask), str(server.address[1])])
        try:
            assert probe.polling.wait(30)
            child.send_signal(signal.SIGSTOP)
            answering = threading.Thread(target=probe.polls[-1].settle, args=((LeaseReply(ttl=1.0), (_LARGE,)),))
            answering.start()
            answering.join(30)
            assert not answering.is_alive()
            assert not probe.gone, "the peer still has its second"
            assert wait_until(lambda: probe.gone), "then it is cut off"
            assert wait_until(lambda: not any(each.name == "taskgrid-rest" for each in threading.enumerate()))
        finally:
            child.kill()
            child.wait()


def test_peer_that_asks_again_before_its_answer_is_cut_off(probe: Probe) -> None:
    """A connection has one request under way: nobody piles up polls."""
    with serving(probe) as server:
        stream = Stream(socket.create_connection(server.address))
        connection = Connection(stream, greet(stream, KEY, tls=False, deadline=time.monotonic() + 20), Limits())
        try:
            body = LEASE.model_dump_json().encode()
            for number in (1, 2):
                connection.send(pack_request(number, "lease", body, ()))
            with pytest.raises(LOST):
                connection.receive(20.0)
        finally:
            connection.close()
    assert len(probe.polls) == 1
