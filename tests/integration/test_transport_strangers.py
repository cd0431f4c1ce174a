"""Those without a key, in the middle or at the door, and what they get: nothing, and no harm done."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from relay import Change
from transport_world import KEY, Probe, Relay, manager, serving, wait_until

from taskgrid.errors import MasterUnreachable, NotLetIn, VersionMismatch
from taskgrid.transport.connection import LOST, Connection
from taskgrid.transport.dial import dial
from taskgrid.transport.frames import Packed, pack_request
from taskgrid.transport.handshake import (
    CLIENT_HELLO,
    MAGIC,
    PROOF_SIZE,
    SERVER_HELLO,
    Answer,
    HandshakeRefused,
    KeyRefused,
    greet,
)
from taskgrid.transport.keys import new_key
from taskgrid.transport.limits import Limits
from taskgrid.transport.stream import Stream
from taskgrid.transport.tls import client_context, server_tls

HEALTH = b"{}"


@pytest.fixture
def probe() -> Probe:
    """Make a service that can be watched."""
    return Probe()


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
        connection.send(pack_request(number, "health", HEALTH, ()))
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


def cut_off(sock: socket.socket) -> bool:
    """Send one byte of a hello; say whether the other end has closed by now."""
    try:
        sock.sendall(MAGIC[:1])
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_wrong_key_is_refused_and_told_nothing(probe: Probe, tls: bool) -> None:
    """A stranger learns an answer of fixed size: no path, no traceback, no version of ours beyond the protocol's."""
    heard: list[bytes] = []
    with (
        serving(probe, tls=tls) as server,
        Relay(server.address[1], listening("down", heard)) as relay,
        manager(relay.port, new_key()) as grid,
        pytest.raises(NotLetIn, match="does not know this key"),
    ):
        grid.connect()
    assert not probe.calls
    assert not probe.gone
    if not tls:
        assert b"".join(heard)[SERVER_HELLO.size :] == bytes(1 + PROOF_SIZE)
    assert b"Traceback" not in b"".join(heard)


def test_server_without_the_key_is_refused_by_the_client() -> None:
    """Who can't prove the key is no master, whatever it says."""
    with socket.create_server(("127.0.0.1", 0)) as impostor:

        def pretend() -> None:
            end = impostor.accept()[0]
            with end:
                end.recv(CLIENT_HELLO.size)
                end.sendall(SERVER_HELLO.pack(MAGIC, Answer.GO_ON, 0, 1, 1, *[0] * 7, bytes(32)))
                end.recv(PROOF_SIZE)
                end.sendall(b"\x01" + bytes(PROOF_SIZE))

        thread = threading.Thread(target=pretend)
        thread.start()
        with pytest.raises(NotLetIn, match="has another key"):
            dial(impostor.getsockname(), authkey=KEY)
        thread.join()


def test_relay_without_the_key_fails_at_its_first_forged_frame(probe: Probe) -> None:
    """A handshake can be relayed, but not spoken for: what follows is sealed."""
    with serving(probe) as server, Relay(server.address[1]) as relay:
        connection = dial(("127.0.0.1", relay.port), authkey=KEY)
        assert ask(connection)
        assert relay.up is not None
        forged = pack_request(2, "health", HEALTH, ())
        relay.up.sendall(b"".join(forged.pieces) + bytes(16))
        assert wait_until(lambda: probe.gone)
        connection.close()
    assert probe.calls == ["health"]


def test_replayed_frame_is_refused(probe: Probe) -> None:
    """A seal is good once: the sequence number is under it."""
    said: list[bytes] = []
    with serving(probe) as server, Relay(server.address[1], listening("up", said)) as relay:
        connection = dial(("127.0.0.1", relay.port), authkey=KEY)
        assert ask(connection)
        assert relay.up is not None
        relay.up.sendall(said[-1])
        assert wait_until(lambda: probe.gone)
        connection.close()
    assert probe.calls == ["health"]


def test_frame_sent_back_to_its_sender_is_refused(probe: Probe) -> None:
    """Each direction has its own key: a reflected request is no answer."""
    said: list[bytes] = []

    def reflect(way: str, data: bytes) -> bytes:
        if way == "up":
            said.append(data)
        return said[-1] if way == "down" and len(said) > 2 else data

    with serving(probe) as server, Relay(server.address[1], reflect) as relay:
        connection = dial(("127.0.0.1", relay.port), authkey=KEY)
        assert not ask(connection)
        connection.close()


def test_tls_relay_under_another_certificate_is_refused(probe: Probe, tmp_path: Path) -> None:
    """The certificate's hash is in the proofs, so one that a relay shows in its place does not pass."""
    other = server_tls(tmp_path)

    def between(listener: socket.socket, port: int) -> None:
        down, up = listener.accept()[0], socket.create_connection(("127.0.0.1", port))
        with down, up:
            up.sendall(down.recv(CLIENT_HELLO.size))
            down.sendall(up.recv(SERVER_HELLO.size))
            with (
                client_context().wrap_socket(up) as to_server,
                other.context.wrap_socket(down, server_side=True) as to_client,
            ):
                to_server.sendall(to_client.recv(PROOF_SIZE))
                to_client.sendall(to_server.recv(1 + PROOF_SIZE))

    with serving(probe, tls=True) as server, socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=between, args=(listener, server.address[1]))
        thread.start()
        stream = stream_to(listener.getsockname()[1])
        with pytest.raises(KeyRefused):
            greet(stream, KEY, tls=True, deadline=soon())
        stream.close()
        thread.join()
    assert not probe.gone


def test_tls_cannot_be_talked_down_by_flipping_the_wish(probe: Probe) -> None:
    """A server of other machines refuses a plain hello, and the client never goes on in the clear."""

    def flip(way: str, data: bytes) -> bytes:
        return data[:8] + b"\x00" + data[9:] if way == "up" and data.startswith(MAGIC) else data

    with (
        serving(probe, tls=True) as server,
        Relay(server.address[1], flip) as relay,
        pytest.raises(MasterUnreachable, match="asking in the clear, which we did not"),
    ):
        dial(("127.0.0.1", relay.port), authkey=KEY)


def test_tls_cannot_be_talked_down_by_changing_both_hellos(probe: Probe, tmp_path: Path) -> None:
    """Both hellos are in the proofs: a relay that speaks TLS on one side only does not pass."""
    other = server_tls(tmp_path)

    def between(listener: socket.socket, port: int) -> None:
        down, up = listener.accept()[0], socket.create_connection(("127.0.0.1", port))
        with down, up:
            hello = down.recv(CLIENT_HELLO.size)
            up.sendall(hello[:8] + b"\x00" + hello[9:])
            answer = up.recv(SERVER_HELLO.size)
            down.sendall(answer[:9] + b"\x01" + answer[10:])
            with other.context.wrap_socket(down, server_side=True) as to_client:
                up.sendall(to_client.recv(PROOF_SIZE))
                to_client.sendall(up.recv(1 + PROOF_SIZE))

    with serving(probe) as server, socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=between, args=(listener, server.address[1]))
        thread.start()
        stream = stream_to(listener.getsockname()[1])
        with pytest.raises(KeyRefused):
            greet(stream, KEY, tls=True, deadline=soon())
        stream.close()
        thread.join()


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("at", [-1, -40], ids=["nonce", "versions"])
def test_hello_that_was_changed_on_its_way_fails_the_proofs(probe: Probe, way: str, at: int) -> None:
    """Both ends prove the key over what was said and what was heard, so the two must be the same."""

    def change(passing: str, data: bytes) -> bytes:
        if passing != way or not data.startswith(MAGIC):
            return data
        changed = bytearray(data)
        changed[at] ^= 1
        return bytes(changed)

    with (
        serving(probe) as server,
        Relay(server.address[1], change) as relay,
        pytest.raises(NotLetIn, match="does not know this key"),
    ):
        dial(("127.0.0.1", relay.port), authkey=KEY)


def test_plain_server_refuses_a_client_that_insists_on_tls(probe: Probe) -> None:
    """A client elsewhere never speaks in the clear, and is told why it can't speak."""
    with serving(probe) as server:
        stream = stream_to(server.address[1])
        with pytest.raises(HandshakeRefused) as caught:
            greet(stream, KEY, tls=True, deadline=soon())
        assert caught.value.answer is Answer.PLAIN_ONLY
        stream.close()


def test_versions_without_a_common_one_are_both_named(probe: Probe) -> None:
    """Who is too old is plain to see."""
    with serving(probe) as server:
        stream = stream_to(server.address[1])
        with pytest.raises(HandshakeRefused) as caught:
            greet(stream, KEY, tls=False, deadline=soon(), versions=(77,))
        assert (caught.value.answer, caught.value.versions) == (Answer.NO_COMMON_VERSION, (1,))
        stream.close()
    with socket.create_server(("127.0.0.1", 0)) as newer:

        def answer() -> None:
            end = newer.accept()[0]
            with end:
                end.recv(CLIENT_HELLO.size)
                end.sendall(SERVER_HELLO.pack(MAGIC, Answer.NO_COMMON_VERSION, 0, 0, 8, 9, *[0] * 6, bytes(32)))

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(VersionMismatch, match="Here: 1; the master: 8, 9"):
            dial(newer.getsockname(), authkey=KEY)
        thread.join()


def test_something_else_at_the_address_is_told_as_such() -> None:
    """A web server is no master, and is named as what it isn't."""
    with socket.create_server(("127.0.0.1", 0)) as web:

        def answer() -> None:
            end = web.accept()[0]
            with end:
                end.recv(100)
                end.sendall(b"HTTP/1.0 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(MasterUnreachable, match="does not speak TaskGrid's protocol"):
            dial(web.getsockname(), authkey=KEY)
        thread.join()


@pytest.mark.parametrize("size", [Limits().max_frame + 1, 0xFFFFFFFF], ids=["one too many", "four gigabytes"])
def test_oversize_frame_closes_the_connection(probe: Probe, size: int) -> None:
    """No memory is set aside for what a length claims."""
    with serving(probe) as server:
        connection = dial(server.address, authkey=KEY)
        assert ask(connection)
        connection.send(Packed([size.to_bytes(4, "big") + bytes(4)], 8))
        assert wait_until(lambda: probe.gone)
        connection.close()


def test_flood_of_silent_strangers_does_not_shut_out_the_honest(probe: Probe) -> None:
    """The silent are shed after a while, the honest wait in the backlog until then."""
    limits = Limits(max_strangers=64, shed_after=0.2)
    with serving(probe, limits=limits) as server:
        silent = [stranger_at(server.address[1]) for _ in range(200)]
        with manager(server.address[1]) as grid:
            assert grid.get_control().health()[0].ok
            assert len(server._threads) <= limits.max_strangers + 1
        for end in silent:
            end.close()


def test_strangers_who_have_said_nothing_hold_no_thread_and_no_place(probe: Probe) -> None:
    """They stand on the porch; when that is full, the one who stood longest makes room, after a while."""
    limits = Limits(porch=20, max_strangers=1, shed_after=0.2)
    with serving(probe, limits=limits) as server:
        silent = [socket.create_connection(server.address, timeout=5) for _ in range(50)]
        for end in silent:
            end.sendall(MAGIC[:4])
        assert wait_until(lambda: len(server._porch) == 20)
        with manager(server.address[1]) as grid:
            assert grid.get_control().health()[0].ok
            assert len(server._threads) == 1
        for end in silent:
            end.close()


def test_stranger_who_dribbles_is_cut_at_the_deadline(probe: Probe) -> None:
    """The handshake's deadline is absolute: a byte now and then does not extend it."""
    with serving(probe, limits=Limits(handshake=0.4)) as server, stranger_at(server.address[1]) as slow:
        slow.settimeout(0.05)
        assert wait_until(lambda: cut_off(slow))


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

    monkeypatch.setattr(threading.Thread, "start", fail_once)
    with serving(probe) as server, manager(server.address[1]) as grid:
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


def test_garbage_from_a_key_holder_ends_its_connection_and_nothing_else(
    probe: Probe, capfd: pytest.CaptureFixture[str]
) -> None:
    """Sealed rightly, and yet nonsense: each mutation is answered or closed, and the server serves on."""
    chance = random.Random(7)
    good = b"".join(pack_request(1, "health", HEALTH, (b"part", b"")).pieces)
    with serving(probe) as server:
        connection = dial(server.address, authkey=KEY)
        for _ in range(800):
            bad = bytearray(good)
            for _ in range(chance.randint(1, 4)):
                bad[chance.randrange(8, len(bad))] = chance.randrange(256)
            try:
                connection.send(Packed([bytes(bad)], len(bad)))
                connection.receive(30.0)
            except LOST:
                connection.close()
                connection = dial(server.address, authkey=KEY)
        connection.close()
        with manager(server.address[1]) as grid:
            assert grid.get_control().health()[0].ok
    assert "failed" not in "".join(capfd.readouterr())


def test_garbage_from_a_stranger_is_met_with_silence(probe: Probe) -> None:
    """What is no hello gets no byte back."""
    chance = random.Random(8)
    with serving(probe) as server:
        for size in (1, 56, 57, 58, 500):
            with stranger_at(server.address[1]) as stranger:
                stranger.sendall(chance.randbytes(size))
                with suppress(OSError):  # the server may be quicker, and have reset the connection
                    stranger.shutdown(socket.SHUT_WR)
                with suppress(ConnectionResetError):
                    assert stranger.recv(1) == b""
