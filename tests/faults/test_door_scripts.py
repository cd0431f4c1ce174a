"""The scripts of those at the door, run against a real master's two ports, plain and under TLS, on each Python.

What they have in common: nobody gets in, nothing is executed, honest clients are served meanwhile and afterwards,
and the master's memory is what it was. The grid's port and the stock port are tried in the same run.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path

import pytest
from door_world import (
    KINDS,
    LONG,
    PATIENCE,
    Door,
    Doors,
    Kind,
    ask,
    closed_after,
    opened_doors,
    rest_of,
    say,
    stock_frame,
    stock_line,
)
from real_programs import eventually
from relay import Relay

from taskgrid.errors import MasterUnreachable, NotLetIn
from taskgrid.transport.connection import Connection
from taskgrid.transport.frames import PREFIX, pack_request
from taskgrid.transport.handshake import CLIENT_HELLO, MAGIC, PROOF_SIZE, SERVER_HELLO
from taskgrid.transport.keys import format_key, new_key
from taskgrid.transport.protocol import MAX_FRAME, Role
from taskgrid.transport.rotation import add_key, revoke_key
from taskgrid.transport.tls import client_context

pytestmark = pytest.mark.timeout(400 if LONG else 120)
HELLO = CLIENT_HELLO.pack(MAGIC, 0, 1, *[0] * 7, bytes(32))
TLS_HELLO = CLIENT_HELLO.pack(MAGIC, 1, 1, *[0] * 7, bytes(32))


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Keep the masters for all tests of this module."""
    with opened_doors(tmp_path_factory.mktemp("doors")) as opened:
        yield opened


@pytest.fixture(params=KINDS)
def door(request: pytest.FixtureRequest, doors: Doors) -> Iterator[Door]:
    """Give a master, and see afterwards that it holds."""
    kind: Kind = request.param
    door = doors(kind)
    yield door
    door.holds()


# ------------------------------------------------------------ keys


@pytest.mark.parametrize(
    "key", [b"", b"k", b"taskgrid", bytes(32), bytes(64)], ids=["empty", "a byte", "a word", "zeros", "long"]
)
def test_a_key_that_is_none_opens_neither_port(door: Door, key: bytes) -> None:
    """Empty, short, guessed or padded: refused, at the client's home or at the door."""
    with pytest.raises(NotLetIn):
        door.dial(key=key)
    with pytest.raises((AuthenticationError, EOFError, OSError)):
        Client(door.stock_address, authkey=key)


def test_neither_port_opens_to_the_others_key_or_to_a_key_almost_right(door: Door) -> None:
    """One port's key is not the other's; one wrong bit, or a zero byte more, is another key."""
    first = door.first_key
    for key in (new_key(), door.stock_key, first + b"\0", first[:-1], bytes([first[0] ^ 1]) + first[1:]):
        with pytest.raises(NotLetIn):
            door.dial(key=key)
    for key in (first, format_key(first).encode(), door.stock_key + b"x", door.stock_key[:-1]):
        with pytest.raises((AuthenticationError, EOFError, OSError)):
            Client(door.stock_address, authkey=key)


def test_a_rotated_key_opens_the_door_until_it_is_revoked(door: Door) -> None:
    """The master in another process sees keys come and go; the old one's connection ends, the new one's stays."""
    first = door.programs.key_file
    old = add_key(first, Role.WORKER)
    revoked = door.key(old.name)
    before = door.dial(key=revoked)
    assert ask(before)
    revoke_key(first, old.name)
    eventually(lambda: not ask(before), PATIENCE, "the revoked key's connection ended")
    with pytest.raises(NotLetIn):
        door.dial(key=revoked)
    before.close()


# ------------------------------------------------------------ in the middle


def test_a_relay_cannot_speak_for_those_it_relays(door: Door) -> None:
    """It passes the handshake on, and what it says itself afterwards ends the connection."""
    with Relay(door.address[1]) as relay:
        connection = door.dial(relay.port)
        assert ask(connection)
        assert relay.up is not None
        relay.up.sendall(b"".join(pack_request(2, "health", b"{}", ()).pieces) + bytes(16))
        assert not ask(connection, 2)
        connection.close()


def test_a_relay_cannot_speak_pickle_at_the_stock_port_either(door: Door, tmp_path: Path) -> None:
    """There a login can be relayed and spoken for, as the protocol has it; yet nothing is executed."""
    ran = tmp_path / "ran"
    call = b"cposix\nsystem\n(S'touch " + str(ran).encode() + b"'\ntR."
    with Relay(door.stock_address[1]) as relay:
        line = Client(("127.0.0.1", relay.port), authkey=door.stock_key)
        line.send((None, "accept_connection", ("relayed",), {}))
        assert line.recv() == ("#RETURN", None)
        assert relay.up is not None
        relay.up.sendall(stock_frame(call))
        assert line.recv()[0] == "#TRACEBACK"
        relay.up.sendall(stock_frame(b"\x80\x04" + call))
        assert line.recv()[0] == "#TRACEBACK"
        line.close()
    assert not ran.exists()


@pytest.mark.parametrize("port", ["grid", "stock"])
def test_a_recorded_login_opens_nothing(door: Door, port: str) -> None:
    """Each login answers a number that was never used before: said again, it is refused like a wrong key."""
    said: list[bytes] = []

    def listen(way: str, data: bytes) -> bytes:
        if way == "up":
            said.append(data)
        return data

    with Relay(door.address[1] if port == "grid" else door.stock_address[1], listen) as relay:
        if port == "grid":
            connection = door.dial(relay.port)
            assert ask(connection)
            connection.close()
        else:
            with Client(("127.0.0.1", relay.port), authkey=door.stock_key) as line:
                line.send((None, "dummy", (), {}))
                assert line.recv() == ("#RETURN", None)
    heard = say(door.connect() if port == "grid" else door.connect_stock(), b"".join(said))
    if port == "stock":
        assert heard.endswith(stock_frame(b"#FAILURE#"))
    elif not door.tls:
        assert heard[SERVER_HELLO.size :] == bytes(1 + PROOF_SIZE)
    else:
        assert len(heard) < 4096  # a hello and TLS's own words; it never got to the proof


@pytest.mark.parametrize("trick", ["again", "swapped", "cut", "doubled", "changed"])
def test_frames_arrive_once_in_order_and_whole_or_not_at_all(door: Door, trick: str) -> None:
    """Who repeats, reorders, cuts, doubles or changes frames on their way ends the connection."""
    held: list[bytes] = []
    tricks: dict[str, Callable[[bytes], bytes]] = {
        "again": lambda data: data if held == [data] else held[0],
        "swapped": lambda data: b"" if held == [data] else data + held[0],
        "cut": lambda data: data[: len(data) // 2] + data[len(data) // 2 + 1 :] + b"\0",
        "doubled": lambda data: data + data,
        "changed": lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
    }
    armed: list[bool] = []

    def change(way: str, data: bytes) -> bytes:
        if way == "down" or not armed:
            return data
        held.append(data)
        return tricks[trick](data)

    with Relay(door.address[1], change) as relay:
        connection = door.dial(relay.port)
        assert ask(connection)
        armed.append(True)
        for number in (2, 3):
            with suppress(OSError, EOFError, ValueError):
                connection.send(pack_request(number, "health", b"{}", ()))
                _until_passed_on(connection, held, number - 1)
        assert not _answers(connection, 2 if trick in {"again", "doubled"} else 1)
        connection.close()


def _until_passed_on(connection: Connection, held: list[bytes], count: int) -> None:
    """Keep two frames from becoming one piece in the relay's hands."""
    eventually(lambda: len(held) >= count or not connection.peer_open(), PATIENCE, "the relay has it")


def _answers(connection: Connection, count: int) -> bool:
    """Say whether so many answers come, within a short while each."""
    heard = 0
    with suppress(OSError, EOFError, ValueError):
        for _ in range(count):
            connection.receive(2.0)
            heard += 1
    return heard >= count


def test_frames_sent_back_to_their_sender_are_no_answers(door: Door) -> None:
    """Each direction has its own key, and its own half of TLS."""
    armed: list[bool] = []
    said: list[bytes] = []

    def reflect(way: str, data: bytes) -> bytes:
        if not armed:
            return data
        if way == "up":
            said.append(data)
        return data if way == "up" else said[-1]

    with Relay(door.address[1], reflect) as relay:
        connection = door.dial(relay.port)
        assert ask(connection)
        armed.append(True)
        assert not ask(connection, 2)
        connection.close()


# ------------------------------------------------------------ frames and bombs


@pytest.mark.parametrize(
    "head",
    [
        PREFIX.pack(MAX_FRAME + 1, 0),
        PREFIX.pack(0xFFFFFFFF, 0),
        PREFIX.pack(0x80000000, 10),
        PREFIX.pack(10, 0xFFFFFFFF),
        struct.pack("!q", -1),
        struct.pack("!iQ", -1, 1 << 40),
    ],
    ids=["one too many", "four gigabytes", "a sign bit", "a header beyond", "negative", "eight bytes"],
)
def test_a_length_that_is_none_ends_a_key_holders_connection(door: Door, head: bytes) -> None:
    """No memory is set aside for what a length claims."""
    assert closed_after(door.dial(), head + bytes(64))


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("!i", -1) + struct.pack("!Q", 1 << 40),
        struct.pack("!i", -1) + struct.pack("!Q", 1 << 63),
        struct.pack("!i", -(1 << 31)),
        struct.pack("!i", (1 << 31) - 1),
        struct.pack("!i", (8 << 20) + 1),
    ],
    ids=["eight bytes: a terabyte", "eight bytes: more", "negative", "two gigabytes", "one too many"],
)
def test_a_length_that_is_none_ends_a_textbook_clients_connection(door: Door, head: bytes) -> None:
    """Before the login and after it."""
    say(door.connect_stock(), head + bytes(64))
    with stock_line(door) as line, socket.socket(fileno=os.dup(line.fileno())) as raw:
        raw.settimeout(PATIENCE)
        with suppress(BrokenPipeError, ConnectionResetError):
            raw.sendall(head + bytes(64))
        assert rest_of(raw) == b""


def _framed(header: bytes, body: bytes = b"") -> bytes:
    return PREFIX.pack(len(header) + len(body), len(header)) + header + body


def _with_body(verb: str, body: bytes) -> bytes:
    return b"".join(pack_request(1, verb, body, ()).pieces)


JSON_BOMBS = {
    "a header 200,000 deep": lambda: _framed(b"[" * 200_000),
    "a header of eight million parts": lambda: _framed(b'{"n":1,"parts":[' + b"0," * 4_000_000 + b"0]}"),
    "a header of long numbers": lambda: _framed(b'{"n":' + b"9" * 400_000 + b',"parts":[0]}'),
    "a body 4,000,000 deep": lambda: _with_body("jobs", b"[" * 4_000_000),
    "a body 2,000,000 objects deep": lambda: _with_body("jobs", b'{"":' * 1_900_000),
    "a million selectors": lambda: _with_body("jobs", b'{"selectors":[' + b"{}," * 1_000_000 + b"{}]}"),
    "a number of 4,000,000 digits": lambda: _with_body("tasks", b'{"job":"x","limit":' + b"9" * 4_000_000 + b"}"),
    "one key a million times": lambda: _with_body("jobs", b"{" + b'"a":1,' * 1_000_000 + b'"a":1}'),
    "tasks without end": lambda: _with_body("tasks", b'{"job":"' + b"0" * 32 + b'","limit":1000000000}'),
}


@pytest.mark.parametrize("bomb", JSON_BOMBS)
def test_a_json_bomb_of_a_key_holder_harms_nobody_else(door: Door, bomb: str) -> None:
    """It is answered with an error or the connection is closed, and the master's memory comes back."""
    connection = door.dial(key=door.key("client"))
    data = JSON_BOMBS[bomb]()
    with suppress(OSError, EOFError, ValueError):
        connection.stream.send([data], len(data), PATIENCE)
        if not door.tls:
            seal = connection.session.sending
            assert seal is not None
            mac = seal.next([data])
            connection.stream.send([mac], len(mac), PATIENCE)
        assert not connection.receive(PATIENCE).envelope.ok
    connection.close()


PICKLE_BOMBS = {
    "a memo index of 2^25": b"\x80\x04Nr\x00\x00\x00\x02.",
    "a memo index of 2^31": b"\x80\x04Nr\x00\x00\x00\x80.",
    "a text of 4 GiB": b"\x80\x04X\xff\xff\xff\xff.",
    "bytes of 8 EiB": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",
    "a tuple 60,000 deep as a key": b"\x80\x04})" + b"\x85" * 60_000 + b"Ns.",
    "22 pairs of the pair before": b"\x80\x04]\x94"
    + b"".join(b"h" + bytes([place]) + b"\x86\x94" for place in range(22))
    + b".",
    "60,000 lists": b"\x80\x04" + b"]" * 60_000 + b".",
    "os.system": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "os.system, the old way": b"cos\nsystem\n(S'true'\ntR.",
    "a proxy to somewhere else": pickle.dumps((None, "create", (socket.AddressFamily.AF_INET,), {})),
    "a request of other shape": pickle.dumps([1, 2, 3], 4),
    "a verb from within": pickle.dumps(("get_task_queue", "__init__", (), {}), 4),
    "a shutdown": pickle.dumps((None, "shutdown", (), {}), 4),
    "an object to be made": pickle.dumps((None, "create", ("get_task_queue", "cmd"), {}), 4),
}


@pytest.mark.parametrize("bomb", PICKLE_BOMBS)
def test_a_pickle_bomb_is_refused_and_builds_nothing(door: Door, bomb: str) -> None:
    """As the first request and as a proxy's call; said to the grid's port, it is no hello."""
    with stock_line(door) as line:
        line.send_bytes(PICKLE_BOMBS[bomb])
        with suppress(EOFError, ConnectionResetError):
            assert line.recv()[0] in {"#TRACEBACK", "#ERROR"}
    with Client(door.stock_address, authkey=door.stock_key) as line:
        line.send_bytes(PICKLE_BOMBS[bomb])
        with suppress(EOFError, ConnectionResetError):
            assert line.recv()[0] in {"#TRACEBACK", "#ERROR"}
    assert say(door.connect(), stock_frame(PICKLE_BOMBS[bomb])) == b""


# ------------------------------------------------------------ strangers


def test_strangers_are_told_nothing_but_the_handshake(door: Door) -> None:
    """Before a key is proved the grid's port says its hello and no more, the stock port its challenge and no more."""
    for words in (b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"#CHALLENGE#" + bytes(40)):
        assert say(door.connect(), words.ljust(CLIENT_HELLO.size, b"\0") if words else b"") == b""
        heard = say(door.connect_stock(), words)
        assert heard.startswith(b"\0\0\0\x3b#CHALLENGE#{sha256}")
        assert len(heard) < 100
    assert len(say(door.connect(), TLS_HELLO if door.tls else HELLO)) < 4096
    assert len(say(door.connect(), HELLO if door.tls else TLS_HELLO)) == SERVER_HELLO.size


def test_tls_without_a_key_is_no_way_in(door: Door) -> None:
    """Whoever finishes TLS has still to prove the key inside it."""
    if not door.tls:
        pytest.skip("this door has no TLS")
    with door.connect() as sock:
        sock.sendall(TLS_HELLO)
        assert len(sock.recv(SERVER_HELLO.size, socket.MSG_WAITALL)) == SERVER_HELLO.size
        with client_context().wrap_socket(sock) as sealed:
            assert sealed.version() == "TLSv1.3"
            sealed.sendall(bytes(PROOF_SIZE))
            assert sealed.recv(100) == bytes(1 + PROOF_SIZE)
            assert sealed.recv(1) == b""


def test_a_relay_that_talks_tls_down_is_found_out(door: Door) -> None:
    """Whatever is changed in a hello, no connection comes of it."""

    def flip(way: str, data: bytes) -> bytes:
        return data[:8] + bytes([data[8] ^ 1]) + data[9:] if way == "up" and data.startswith(MAGIC) else data

    with Relay(door.address[1], flip) as relay, pytest.raises((NotLetIn, MasterUnreachable)):
        door.dial(relay.port)
