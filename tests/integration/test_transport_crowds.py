"""Many, slow or large: crowds of strangers, senders who never end, and a machine that has no more to give."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hanging import AFTER_TLS_HELLO, STAGES, crowd, words_until
from transport_world import KEY, Probe, ask, manager, serving, stranger_at, wait_until

from taskgrid.errors import MasterUnreachable
from taskgrid.transport.dial import dial
from taskgrid.transport.frames import Packed
from taskgrid.transport.handshake import MAGIC
from taskgrid.transport.limits import Limits


@pytest.fixture
def probe() -> Probe:
    """Make a service that can be watched."""
    return Probe()


def cut_off(sock: socket.socket) -> bool:
    """Send one byte of a hello; say whether the other end has closed by now."""
    try:
        sock.sendall(MAGIC[:1])
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("size", [Limits().max_frame + 1, 0xFFFFFFFF], ids=["one too many", "four gigabytes"])
def test_oversize_frame_closes_the_connection(probe: Probe, size: int) -> None:
    """No memory is set aside for what a length claims."""
    with serving(probe) as server:
        connection = dial(server.address, authkey=KEY)
        assert ask(connection)
        connection.send(Packed([size.to_bytes(4, "big") + bytes(4)], 8))
        assert wait_until(lambda: probe.gone)
        connection.close()


STAGES_OF_BOTH = [*((stage, tls) for stage in STAGES for tls in (False, True)), (AFTER_TLS_HELLO, True)]


@pytest.mark.parametrize(("stage", "tls"), STAGES_OF_BOTH)
def test_strangers_who_hang_hold_no_thread_and_keep_nobody_waiting(probe: Probe, stage: str, tls: bool) -> None:
    """However far they have come: an honest client is served while every one of them still stands there."""
    patient = Limits(handshake=60.0)
    with (
        serving(probe, tls=tls, limits=patient) as server,
        crowd(150, lambda: stranger_at(server.address[1]), words_until(stage, tls=tls)),
        manager(server.address[1]) as grid,
    ):
        control = grid.get_control()  # kept: its connection ends with it
        assert control.health()[0].ok
        assert wait_until(lambda: len(server._porch) == 150)
        assert len(server._threads) <= 2, "the one that serves it, and one that listens"


def test_full_porch_turns_out_who_stands_there_longest_after_a_while(probe: Probe) -> None:
    """So many strangers are borne, the next wait; one after the other loses its place, and the honest get theirs."""
    limits = Limits(porch=20, shed_after=0.2, handshake=60.0)
    with (
        serving(probe, limits=limits) as server,
        crowd(50, lambda: stranger_at(server.address[1]), MAGIC[:4]),
        manager(server.address[1]) as grid,
    ):
        assert wait_until(lambda: len(server._porch) == 20)
        assert grid.get_control().health()[0].ok


def test_stranger_who_dribbles_is_cut_at_the_deadline(probe: Probe) -> None:
    """The handshake's deadline is absolute: a byte now and then does not extend it."""
    with serving(probe, limits=Limits(handshake=0.4)) as server, stranger_at(server.address[1]) as slow:
        slow.settimeout(0.25)  # a hello takes 14 s so
        assert wait_until(lambda: cut_off(slow), within=10)


def test_key_holder_who_says_nothing_is_cut_at_the_deadline(probe: Probe) -> None:
    """A relayed handshake holds no place: the first request belongs to it."""
    with serving(probe, limits=Limits(handshake=0.3)) as server:
        connection = dial(server.address, authkey=KEY)
        assert wait_until(lambda: probe.gone)
        connection.close()


def test_frame_that_never_ends_is_cut(probe: Probe) -> None:
    """Once its first byte came, a frame has its own deadline; an idle connection has none."""
    with serving(probe, limits=Limits(frame=0.3)) as server:
        idle, slow = dial(server.address, authkey=KEY), dial(server.address, authkey=KEY)
        assert ask(idle)
        assert ask(slow)
        slow.stream.send([b"\x00\x00"], 2, 1.0)
        assert wait_until(lambda: len(probe.gone) == 1)
        assert ask(idle, 2)
        idle.close()
        slow.close()


def test_full_server_says_so(probe: Probe) -> None:
    """Beyond the limit of connections a peer hears why it can't be served now."""
    with serving(probe, limits=Limits(max_connections=1)) as server, manager(server.address[1]) as grid:
        control = grid.get_control()
        control.health()
        with pytest.raises(MasterUnreachable, match="is full"):
            grid.connect()


def test_failed_thread_start_costs_one_connection_and_not_the_server(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine may have no thread for us now, and have one later."""
    start, failures = threading.Thread.start, iter([True])

    def fail_once(thread: threading.Thread) -> None:
        if thread.name == "taskgrid-peer" and next(failures, False):
            raise RuntimeError("can't start new thread")
        start(thread)

    with serving(probe) as server, manager(server.address[1]) as grid:
        monkeypatch.setattr(threading.Thread, "start", fail_once)
        assert grid.get_control().health()[0].ok


def test_full_descriptor_table_neither_spins_nor_ends_the_server() -> None:
    """Out of descriptors, the server turns peers away, sleeps in between, and serves again when there are some."""
    code = f"""
        import sys, threading
        sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}
        from transport_world import Probe, KEYS
        from taskgrid.transport.server import serve
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
        from taskgrid.transport.key_table import KeyTable
        server = serve(("127.0.0.1", 0), KeyTable.of(bytes.fromhex({KEY.hex()!r})), Probe(), tls=False)
        server.start()
        print(server.address[1], flush=True)
        sys.stdin.read()
        server.stop(2)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, flush=True)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        port = int(child.stdout.readline())
        flood = [stranger_at(port) for _ in range(100)]
        assert wait_until(lambda: len(list(Path(f"/proc/{child.pid}/fd").iterdir())) >= 47)
        flood[-1].settimeout(30)
        with suppress(ConnectionResetError):
            assert flood[-1].recv(1) == b""
        for end in flood:
            end.close()
        with manager(port, KEY) as grid:
            assert grid.get_control().health()[0].ok
        child.stdin.close()
        assert float(child.stdout.read().split()[-1]) < 3
    assert child.returncode == 0
