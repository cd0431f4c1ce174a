"""Calls over real connections: what arrives, what is refused, and what survives a loss."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator

import pytest
from real_programs import reserved_port
from transport_world import CLIENT_KEY, KEY, LEASE, Probe, manager, serving, wait_until

from taskgrid.errors import Busy, MasterUnreachable, NotLetIn, TaskGridError, TooLarge
from taskgrid.model import JobId
from taskgrid.transport.manager import GridManager
from taskgrid.transport.protocol import MAX_FRAME, ExplainRequest, FetchRequest, Order, Selector
from taskgrid.transport.proxies import NOTHING, Control, prepared

_LARGE = b"x" * (MAX_FRAME - (1 << 20))
"""More than the kernel keeps for a peer that does not read."""


@pytest.fixture
def probe() -> Probe:
    """Make a service that can be watched."""
    return Probe()


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def control(request: pytest.FixtureRequest, probe: Probe) -> Iterator[Control]:
    """Make a control proxy to the probe, over a plain connection and over TLS."""
    with serving(probe, tls=request.param) as server, manager(server.address[1]) as grid:
        yield grid.get_control()


def test_parts_come_back_as_they_were_sent(control: Control) -> None:
    """Parts are raw bytes of any size and number, empty ones included."""
    for sizes in (
        (),
        (0,),
        (1, 0, 3),
        (8192 - 100,),
        (8192,),
        (70_000, 5),
        (1 << 20, 1 << 20),
        (1,) * 3000,
        (7 << 20,),
    ):
        parts = tuple(secrets.token_bytes(size) for size in sizes)
        reply, received = control.health(NOTHING, parts)
        assert reply.ok
        assert received == parts


def test_frame_over_the_limit_is_refused_before_it_leaves_and_the_connection_goes_on(control: Control) -> None:
    """`TooLarge` says what to do instead, and costs no connection."""
    control.health()
    with pytest.raises(TooLarge, match="pass its path"):
        control.health(NOTHING, (bytes(8 << 20),))
    control.health()
    assert control.generation == 1


def test_reply_over_the_limit_is_an_error_and_not_a_lost_connection(control: Control) -> None:
    """A service that answers too much is told so, not its client cut off."""
    with pytest.raises(TooLarge):
        control.explain(ExplainRequest(selector=Selector(last=True)))
    assert control.generation == 1


def test_error_of_the_service_arrives_whole_and_is_not_retried(control: Control) -> None:
    """Kind, sentences and fields cross the wire."""
    with pytest.raises(Busy) as caught:
        control.status()
    assert (caught.value.why, caught.value.hint, caught.value.fields) == ("10 of 10.", "Wait.", {"limit": 10})
    assert control.generation == 1


def test_defect_of_the_service_is_told_in_one_line_without_a_traceback(
    control: Control, capfd: pytest.CaptureFixture[str]
) -> None:
    """The peer learns what failed; the traceback stays in the master's log."""
    with pytest.raises(TaskGridError, match="ZeroDivisionError: a defect in the service") as caught:
        control.workers()
    assert "Traceback" not in str(caught.value)
    assert "request.failed" in "".join(capfd.readouterr())
    assert control.health()[0].ok


def test_key_of_a_client_may_not_take_tasks(probe: Probe) -> None:
    """A role key opens its role's verbs only."""
    with serving(probe) as server, manager(server.address[1], CLIENT_KEY) as grid:
        assert grid.get_control().health()[0].ok
        with pytest.raises(NotLetIn, match="may not lease"):
            grid.get_task_queue().lease(LEASE)
    assert not probe.polling.is_set()


class Interrupted(Exception):
    """Stands for Ctrl-C."""


def test_call_after_an_interrupted_one_gets_its_own_answer(probe: Probe) -> None:
    """Whatever escapes between request and answer ends the connection, so that answers can't shift."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with serving(probe) as server, manager(server.address[1]) as grid:
            queue = grid.get_task_queue()
            pressing = threading.Thread(target=lambda: probe.polling.wait(30) and os.kill(os.getpid(), signal.SIGALRM))
            pressing.start()
            with pytest.raises(Interrupted):
                queue.lease(LEASE)
            pressing.join()
            probe.let_go.set()
            assert queue.lease(LEASE)[0].ttl == 99.0
            assert queue.generation == 2
    finally:
        signal.signal(signal.SIGALRM, before)


def test_proxy_works_again_after_its_master_was_restarted(probe: Probe) -> None:
    """The same proxy finds the new master on the old port."""
    reserved = reserved_port()
    port = reserved.getsockname()[1]
    with serving(probe, port=port):
        grid = GridManager([f"127.0.0.1:{port}"], KEY, reconnect_for=40)
        control = grid.get_control()
        control.health()
    restarted = threading.Event()

    def restart() -> None:
        with serving(probe, port=port):
            restarted.wait(40)

    thread = threading.Timer(0.3, restart)
    thread.start()
    try:
        assert control.health()[0].ok
        assert control.generation == 2
    finally:
        grid.close()
        restarted.set()
        thread.join()
        reserved.close()


def test_waiting_is_told_in_a_sentence_and_ends_in_master_unreachable() -> None:
    """A client that waits for its master says so, and gives up when its patience ends."""
    told: list[str] = []
    with (
        GridManager(["127.0.0.1:1"], KEY, reconnect_for=0.3, on_wait=told.append) as grid,
        pytest.raises(MasterUnreachable, match=r"No master answers at 127\.0\.0\.1:1"),
    ):
        grid.get_control().health()
    assert "Connection refused" in told[0]


def test_second_server_is_asked_when_the_first_is_away(probe: Probe) -> None:
    """Several servers are tried in turn, within one try."""
    with serving(probe) as server, GridManager(["127.0.0.1:1", f"127.0.0.1:{server.address[1]}"], KEY) as grid:
        grid.connect()
        assert grid.get_control().health()[0].ok


def test_fork_leaves_the_connection_to_the_parent(probe: Probe) -> None:
    """A child makes its own connection; the parent's goes on as if nothing had been."""
    with serving(probe) as server, manager(server.address[1]) as grid:
        control = grid.get_control()
        ours = control.health()[0].version
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that a process with threads forks is the point
            child = os.fork()
        if child == 0:
            os._exit(0 if control.health()[0].version != ours and control.generation == 2 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert control.health()[0].version == ours
        assert control.generation == 1


def test_time_of_a_call_is_bounded_when_the_master_hangs() -> None:
    """A peer that accepts and says nothing costs no more than the call's own timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent, manager(silent.getsockname()[1], reconnect_for=50) as grid:
        begun = time.monotonic()
        with pytest.raises(MasterUnreachable, match="did not answer in time"):
            grid.get_control().health(timeout=0.3)
        assert time.monotonic() - begun < 25


def test_ipv6_loopback_is_served(probe: Probe) -> None:
    """Addresses of both families work; IPv6 ones are written in brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(probe, host="::1") as server, GridManager([f"[::1]:{server.address[1]}"], KEY) as grid:
        assert grid.get_control().health()[0].ok


def test_calls_of_many_proxies_do_not_mix(control: Control) -> None:
    """One proxy may be called from several threads; each gets its own answer."""
    wrong: list[int] = []

    def call(number: int) -> None:
        part = str(number).encode()
        wrong.extend(number for _ in range(50) if control.health(NOTHING, (part,))[1] != (part,))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_call_that_was_begun_is_said_once_and_gets_its_answer(probe: Probe, control: Control) -> None:
    """Whoever begins it need not be who waits for it."""
    control.health()
    ask = prepared("health", NOTHING, (b"early",))
    threading.Thread(target=control.begin, args=(ask,)).start()
    assert wait_until(lambda: len(probe.calls) == 2)
    assert control._channel.call(ask)[1] == (b"early",)
    assert len(probe.calls) == 2
    assert control.generation == 1


def test_call_in_between_gets_its_own_answer(control: Control) -> None:
    """The begun one's is kept for who comes for it."""
    control.health()
    ask = prepared("health", NOTHING, (b"early",))
    control.begin(ask)
    assert control.health(NOTHING, (b"between",))[1] == (b"between",)
    assert control._channel.call(ask)[1] == (b"early",)
    assert control.generation == 1


def test_begun_call_whose_connection_is_lost_is_said_again(probe: Probe) -> None:
    """Beginning promises nothing; the call does."""
    with serving(probe) as server, manager(server.address[1]) as grid:
        control = grid.get_control()
        control.health()
        ask = prepared("health", NOTHING, (b"again",))
        control.begin(ask)
        control._channel._drop()
        assert control._channel.call(ask)[1] == (b"again",)
        assert control.generation == 2


def test_begun_call_that_is_taken_back_spoils_no_other(control: Control) -> None:
    """Its answer would have been the next one's."""
    control.health()
    ask = prepared("health", NOTHING, (b"nobody's",))
    control.begin(ask)
    control.take_back(ask)
    assert control.health(NOTHING, (b"mine",))[1] == (b"mine",)
    assert control.generation == 2


def test_call_with_several_answers_gets_them_in_order(probe: Probe) -> None:
    """Said once, it is awaited until the answer that says it is the last; then the connection is free."""
    with serving(probe) as server, manager(server.address[1]) as grid:
        results = grid.get_result_queue()
        ask = prepared("fetch", FetchRequest(job=JobId("j"), order=Order.ARRIVAL, answers=3))
        heard = [(results.fetch(ask)[0].sequence, results.awaits(ask)) for _ in range(3)]
        assert heard == [(0, True), (1, True), (2, False)]
        assert results.generation == 1


def test_answers_that_nobody_came_for_spoil_no_other_call(probe: Probe) -> None:
    """Who asks anew before the last answer gets his own, over another connection."""
    with serving(probe) as server, manager(server.address[1]) as grid:
        results = grid.get_result_queue()
        ask = prepared("fetch", FetchRequest(job=JobId("j"), order=Order.ARRIVAL, answers=3))
        assert results.fetch(ask)[0].sequence == 0
        again = FetchRequest(job=JobId("j"), order=Order.ARRIVAL)
        assert results.fetch(again)[0].sequence == 0
        assert not results.awaits(ask)
        assert results.generation == 2
