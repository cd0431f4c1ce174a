"""Those without a key at either end, and what they get: a refusal that says why, or nothing."""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hanging import AFTER_TLS_HELLO, words_until
from transport_world import KEY, Probe, Relay, listening, manager, serving, soon, stranger_at, stream_to

from taskgrid.errors import MasterUnreachable, NotLetIn, VersionMismatch
from taskgrid.transport.connection import LOST
from taskgrid.transport.dial import dial
from taskgrid.transport.frames import Packed, pack_request
from taskgrid.transport.handshake import (
    CLIENT_HELLO,
    MAGIC,
    PROOF_SIZE,
    SERVER_HELLO,
    Answer,
    HandshakeRefused,
    Host,
    greet,
    welcome,
)
from taskgrid.transport.key_table import KeyTable
from taskgrid.transport.keys import new_key
from taskgrid.transport.stream import Stream
from taskgrid.transport.tls import server_tls


@pytest.fixture
def probe() -> Probe:
    """Make a service that can be watched."""
    return Probe()


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


def test_garbage_from_a_key_holder_ends_its_connection_and_nothing_else(
    probe: Probe, capfd: pytest.CaptureFixture[str]
) -> None:
    """Sealed rightly, and yet nonsense: each mutation is answered or closed, and the server serves on."""
    chance = random.Random(7)
    good = b"".join(pack_request(1, "health", b"{}", (b"part", b"")).pieces)
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


def test_stranger_who_is_gone_before_tls_leaves_nothing_open(tmp_path: Path) -> None:
    """Its descriptor is closed with its stream, not whenever Python comes round to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stranger = stranger_at(listener.getsockname()[1])
        stream = Stream(listener.accept()[0])
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stranger.close()  # with a reset
        with pytest.raises(OSError, match="not connected"):
            next(stream.secure(server_tls(tmp_path).context, server=True))
        assert stream.fileno() >= 0
        stream.close()


def test_half_a_tls_hello_is_waited_for_and_not_begun_with(tmp_path: Path) -> None:
    """A session of TLS takes 44 KB, so the server says how much it waits for: the first record, whole."""
    words = words_until(AFTER_TLS_HELLO, tls=True)
    record = len(words) - CLIENT_HELLO.size
    with socket.create_server(("127.0.0.1", 0)) as listener, stranger_at(listener.getsockname()[1]) as stranger:
        stream = Stream(listener.accept()[0])
        greeting = welcome(stream, Host(KeyTable.of(KEY), server_tls(tmp_path), lambda: False))
        stranger.sendall(words[:-1])
        stream.wait(select.POLLIN, soon())
        assert [next(greeting), next(greeting), next(greeting)] == [CLIENT_HELLO.size, 5, record]
        stream.close()
