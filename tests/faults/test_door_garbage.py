"""Garbage, by mutation and by grammar, for everything that reads what a peer sent.

In this process: the frames, the textbook decoder, the handshake's server end over a real connection, and the
requests of every verb. Through sockets: both ports of a real master. What is read is read, what is not is refused
in the one way its caller knows; no other exception, no hang. `TASKGRID_FAULTS=long` tries a hundred times as much.
"""

from __future__ import annotations

import json
import os
import pickle
import pickletools
import random
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from door_world import KINDS, LONG, Door, Doors, opened_doors, say, stock_frame, stock_line

from taskgrid.transport.connection import Session
from taskgrid.transport.dispatch import Dispatch
from taskgrid.transport.frames import PREFIX, Frame, FrameError, Seal, frame_size, pack_request, unpack, unpack_error
from taskgrid.transport.handshake import CLIENT_HELLO, MAGIC, Host, welcome
from taskgrid.transport.key_table import KeyTable
from taskgrid.transport.keys import new_key
from taskgrid.transport.protocol import MAX_FRAME, VERBS, Peer, Role
from taskgrid.transport.stock import Undecodable, decode
from taskgrid.transport.stream import Stream

CASES = 100 if LONG else 1
"""Times the numbers below."""
SEED = int(os.environ.get("TASKGRID_GARBAGE_SEED") or time.time_ns())
pytestmark = pytest.mark.timeout(3600 if LONG else 120)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Give randomness whose seed is shown with a failure."""
    print(f"TASKGRID_GARBAGE_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.name}")


def mutated(chance: random.Random, seed: bytes) -> bytes:
    """Change, drop, double, move or insert a few bytes."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at, other = chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)
        low, high = min(at, other), min(max(at, other), min(at, other) + 40)
        match chance.randrange(6):
            case 0 | 1 if at < len(data):
                data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 2:
                del data[low:high]
            case 3:
                data[at:at] = data[low:high]
            case 4:
                data[at:at] = chance.randbytes(chance.randint(1, 9))
            case _:
                del data[at:]
    return bytes(data)


JSON_LEAVES = (
    *("null", "true", "0", "-1", "1e999", "9" * 400, "NaN", "1.5", '"x"', '"\\ud800"', '"\\u0000"', "[]", "{}"),
    *(
        "[" * 300,
        '{"n":',
        "}",
        '"',
        "\x00",
        "\ufeff",
        "18446744073709551616",
        '"' + "0" * 32 + '"',
        "[[0,3]]",
        "[0,-1]",
    ),
)


def some_json(chance: random.Random, names: tuple[str, ...]) -> str:
    """Write an object of known and unknown fields with values of any kind, mostly well-formed."""
    fields = [f'"{chance.choice((*names, "later", ""))}":{some_value(chance)}' for _ in range(chance.randint(0, 6))]
    return "{" + ",".join(fields) + chance.choice(("}", "}", "}", "}", "", "}}", ",}"))


def some_value(chance: random.Random, depth: int = 0) -> str:
    """Write any value."""
    if depth < 4 and chance.random() < 0.3:
        inner = [some_value(chance, depth + 1) for _ in range(chance.randint(0, 4))]
        return "[" + ",".join(inner) + "]"
    return chance.choice(JSON_LEAVES)


def some_frame(chance: random.Random) -> bytes:
    """Write a frame by its grammar, each piece of it right or wrong by chance."""
    sections = [chance.randbytes(chance.randint(0, 30)) for _ in range(chance.randint(0, 4))]
    lengths = [len(section) for section in sections]
    if chance.random() < 0.3 and lengths:
        lengths[chance.randrange(len(lengths))] = chance.choice((-1, 0, 2**31, 2**63, MAX_FRAME, 5))
    header = json.dumps({"n": chance.randint(-1, 9), "verb": chance.choice([*VERBS, "", "x" * 99]), "parts": lengths})
    if chance.random() < 0.3:
        header = some_json(chance, ("n", "parts", "verb", "ok"))
    head = header.encode("utf-8", "surrogatepass")
    size = len(head) + sum(map(len, sections)) + chance.choice((0, 0, 0, 1, -1))
    return PREFIX.pack(max(0, size), max(0, len(head) + chance.choice((0, 0, 0, 1, -1)))) + head + b"".join(sections)


def some_pickle(chance: random.Random) -> bytes:
    """Write opcodes with arguments that may or may not be theirs."""
    words = [_some_opcode(chance) for _ in range(chance.randint(0, 25))]
    return b"\x80" + bytes([chance.choice((4, 4, 4, 5, 2))]) + b"".join(words) + chance.choice((b".", b".", b"", b"N."))


def _some_opcode(chance: random.Random) -> bytes:
    opcode = chance.choice(pickletools.opcodes)
    argument = chance.choice(
        (b"", bytes([chance.randrange(8)]), chance.randbytes(4), b"\x03abc", b"\x01\0\0\0a", b"os\n")
    )
    return opcode.code.encode("latin-1") + argument


def some_hello(chance: random.Random) -> bytes:
    """Write a hello and a proof by their grammar."""
    versions = [chance.choice((0, 1, 2, 77, 0xFFFF)) for _ in range(8)]
    magic = chance.choice((MAGIC, MAGIC, MAGIC, MAGIC[::-1], bytes(8)))
    hello = CLIENT_HELLO.pack(magic, chance.choice((0, 0, 1, 255)), *versions, chance.randbytes(32))
    return hello + chance.randbytes(chance.choice((0, 31, 32, 33, 200)))


# ------------------------------------------------------------ in this process


def test_no_frame_surprises_its_reader(chance: random.Random) -> None:
    """Ten thousand frames by mutation and grammar: unpacked to what adds up, or `FrameError`."""
    good = b"".join(pack_request(12, "lease", b'{"ok":true}', (b"one", b"", b"three")).pieces)
    seal = Seal(new_key())
    read = 0
    for number in range(10_000 * CASES):
        data = some_frame(chance) if number % 2 else mutated(chance, good)
        with suppress(FrameError):
            if len(data) < PREFIX.size:
                continue
            frame_size(data, 0, MAX_FRAME)
            found = unpack(memoryview(data))
            assert sum(map(len, (found.body, *found.parts))) <= len(data)
            read += 1
        with pytest.raises(FrameError):
            seal.check(memoryview(data), memoryview(data[-16:]))
    assert 0 < read < 9_000 * CASES


def test_no_pickle_surprises_the_textbook_decoder(chance: random.Random) -> None:
    """Five thousand pickles: read to plain values as the real thing reads them, or `Undecodable`."""
    good = pickle.dumps(("get_task_queue", "put", ([1, 2.5, "text", b"raw", None, True, {"a": (1, 2), 7: []}],), {}), 4)
    read = 0
    for number in range(5_000 * CASES):
        data = some_pickle(chance) if number % 2 else mutated(chance, good)
        try:
            value = decode(data)
        except Undecodable:
            continue
        assert repr(pickle.loads(data)) == repr(value)  # no class is in it, so the real thing may look too
        read += 1
    assert 0 < read < 4_500 * CASES


class Sink:
    """A service of every verb that has nothing to do."""

    def disconnected(self, peer: Peer) -> None:
        """Hear that a connection is gone."""

    def __getattr__(self, verb: str) -> Callable[..., object]:
        if verb not in VERBS:
            raise AttributeError(verb)
        return lambda _peer, request, parts: (request, parts)


def test_no_request_surprises_its_verb(chance: random.Random, capfd: pytest.CaptureFixture[str]) -> None:
    """Four thousand bodies for all verbs: taken as what their model says, or answered with a usage error."""
    dispatch = Dispatch(Sink())
    peer = Peer("here:1", frozenset(Role), 1)
    fields = {name: tuple(verb.request.model_fields) for name, verb in VERBS.items()}
    taken = 0
    for number in range(4_000 * CASES):
        verb = chance.choice(list(VERBS))
        body = some_json(chance, fields[verb]).encode("utf-8", "surrogatepass")
        if number % 2:
            body = mutated(chance, body)
        frame = _frame_of(verb, body)
        answer = dispatch.answer(peer, frame, lambda _late: None)
        assert answer is not None
        reply = unpack(memoryview(b"".join(answer.pieces)))
        taken += reply.envelope.ok
        assert reply.envelope.ok or unpack_error(reply.body).code in {"usage", "too-large"}
    assert 0 < taken < 4_000 * CASES
    assert "failed" not in "".join(capfd.readouterr())


def _frame_of(verb: str, body: bytes) -> Frame:
    return unpack(memoryview(b"".join(pack_request(1, verb, body, ()).pieces)))


def test_no_hello_surprises_the_handshake(chance: random.Random) -> None:
    """A thousand strangers, cut off anywhere: let in nobody, and end in the ways a connection ends."""
    host = Host(KeyTable.of(new_key()), None, lambda: False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for number in range(1_000 * CASES):
            words = some_hello(chance) if number % 2 else mutated(chance, some_hello(chance))
            theirs = socket.create_connection(listener.getsockname())
            ours = Stream(listener.accept()[0])
            with theirs:
                theirs.sendall(words)
                theirs.shutdown(socket.SHUT_WR)
                with suppress(OSError, EOFError):
                    assert _greeted(ours, host) is None
            ours.close()


def _greeted(stream: Stream, host: Host) -> Session | None:
    greeting, deadline = welcome(stream, host), time.monotonic() + 10
    while True:
        try:
            next(greeting)
        except StopIteration as greeted:
            session: Session | None = greeted.value
            return session
        stream.wait(select.POLLIN, deadline)


# ------------------------------------------------------------ through sockets


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Keep the masters for all tests of this module."""
    with opened_doors(tmp_path_factory.mktemp("doors")) as opened:
        yield opened


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_through_sockets_leaves_a_master_as_it_was(chance: random.Random, doors: Doors, kind: object) -> None:
    """Strangers and key holders say hundreds of things to both ports; the honest are served, memory is as before."""
    door = doors(kind)  # type: ignore[arg-type]  # a Kind, as KINDS has them
    for _ in range(50 * CASES):
        say(door.connect(), mutated(chance, some_hello(chance)))
        say(door.connect_stock(), mutated(chance, stock_frame(chance.randbytes(40))))
        _tell_as_key_holder(door, partial(some_frame, chance))
        with suppress(EOFError, OSError), stock_line(door) as line:
            for _ in range(3):
                line.send_bytes(some_pickle(chance))
                line.recv()
    door.holds()


def _tell_as_key_holder(door: Door, frame: Callable[[], bytes]) -> None:
    connection = door.dial()
    with suppress(OSError, EOFError, FrameError):
        for _ in range(3):
            data = frame()
            seal = connection.session.sending
            piece = data + (seal.next([data]) if seal else b"")
            connection.stream.send([piece], len(piece), 5.0)
            connection.stream.shutdown(socket.SHUT_WR) if len(data) < PREFIX.size else None
            connection.receive(0.1)
    connection.close()
