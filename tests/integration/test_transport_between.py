"""Those in the middle of a connection, who have no key: they can cut it, and neither speak, change nor talk it down."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from transport_world import KEY, Probe, Relay, ask, listening, serving, soon, stream_to, wait_until

from taskgrid.errors import MasterUnreachable, NotLetIn
from taskgrid.transport.dial import dial
from taskgrid.transport.frames import pack_request
from taskgrid.transport.handshake import CLIENT_HELLO, MAGIC, PROOF_SIZE, SERVER_HELLO, KeyRefused, greet
from taskgrid.transport.tls import client_context, server_tls


@pytest.fixture
def probe() -> Probe:
    """Make a service that can be watched."""
    return Probe()


def test_relay_without_the_key_fails_at_its_first_forged_frame(probe: Probe) -> None:
    """A handshake can be relayed, but not spoken for: what follows is sealed."""
    with serving(probe) as server, Relay(server.address[1]) as relay:
        connection = dial(("127.0.0.1", relay.port), authkey=KEY)
        assert ask(connection)
        assert relay.up is not None
        forged = pack_request(2, "health", b"{}", ())
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
