"""The handshake: who both ends are, in which version they speak, and that nobody stands between them.

    client -> server   hello: magic, "I insist on TLS", versions, nonce            fixed size, in the clear
    server -> client   hello: magic, answer, "TLS follows", version, versions, nonce
    (TLS 1.3, if it follows)
    client -> server   proof
    server -> client   verdict, proof

Proofs and frame keys come from HMAC(key, both hellos + hash of the server's certificate). Whoever changes
a hello (to talk TLS or the version down), replays one, or relays TLS under another certificate, makes both
proofs fail; whoever relays a plain handshake does not learn the keys that seal what follows.

A stranger is told an answer of one byte and nothing else. The client's end waits on its thread; the server's end is
a generator that never waits, and yields the bytes that it goes on with, so that a peer that hangs takes no thread.
This module knows no frames, threads or sockets: a `Stream` is handed in.
"""

from __future__ import annotations

import hmac
import secrets
import select
import struct
from collections.abc import Callable, Generator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from taskgrid.transport.connection import Session
from taskgrid.transport.frames import Seal
from taskgrid.transport.keys import LiveKey
from taskgrid.transport.protocol import PROTOCOL_VERSIONS
from taskgrid.transport.stream import Stream, left
from taskgrid.transport.tls import ServerTls, client_context, fingerprint

if TYPE_CHECKING:  # a client starts a tenth of a second sooner without the master's log
    from taskgrid.transport.key_table import KeyTable

MAGIC: Final = b"TaskGrid"
NONCE_SIZE: Final = 32
PROOF_SIZE: Final = 32
CLIENT_HELLO: Final = struct.Struct(f"!8sB8H{NONCE_SIZE}s")
SERVER_HELLO: Final = struct.Struct(f"!8sBBH8H{NONCE_SIZE}s")
_PLAIN: Final = bytes(32)  # stands for the certificate's hash where there is none
_RECORD_HEAD: Final = 5  # bytes; the last two are how many follow (RFC 8446, 5.1)
_LARGEST_RECORD: Final = 1 << 14
_VERSIONS: Final = 8  # places in a hello, the unused ones zero


class Answer(IntEnum):
    """How a server answers a hello."""

    GO_ON = 0
    NO_COMMON_VERSION = 1
    TLS_REQUIRED = 2  # a plain hello came, and this server has clients elsewhere
    PLAIN_ONLY = 3  # a client insisted on TLS
    FULL = 4  # as many connections as allowed


class HandshakeRefused(Exception):
    """The server answered a hello with something else than going on."""

    def __init__(self, answer: Answer, versions: tuple[int, ...]) -> None:
        super().__init__(answer.name)
        self.answer = answer
        self.versions = versions


class KeyRefused(Exception):
    """The server did not accept the key, or could not prove that it has it."""


class NotTaskGrid(Exception):
    """What speaks at the other end is something else."""


class Secrets(NamedTuple):
    """What both ends derive from the key and all that was said."""

    client_proof: bytes
    server_proof: bytes
    to_server: bytes
    to_client: bytes


class Host(NamedTuple):
    """What a server's end of the handshake goes by."""

    keys: KeyTable
    tls: ServerTls | None
    is_full: Callable[[], bool]


def derive(key: bytes, said: bytes) -> Secrets:
    """Derive proofs and frame keys; `said` is both hellos and the certificate's hash."""
    root = hmac.digest(key, b"taskgrid handshake" + said, "sha256")
    return Secrets(*(hmac.digest(root, label.encode(), "sha256") for label in Secrets._fields))


def greet(
    stream: Stream, key: bytes, *, tls: bool, deadline: float, versions: Sequence[int] = PROTOCOL_VERSIONS
) -> Session:
    """Take the client's end. Raises `HandshakeRefused`, `KeyRefused`, `NotTaskGrid`, `OSError` or `EOFError`."""
    hello = CLIENT_HELLO.pack(MAGIC, tls, *_places(versions), secrets.token_bytes(NONCE_SIZE))
    stream.send([hello], len(hello), left(deadline))
    answer = stream.read_exactly(SERVER_HELLO.size, deadline)
    version = _read_answer(answer, tls=tls, versions=versions)
    binding = _PLAIN
    if tls:
        for _ in stream.secure(client_context(), server=False):
            stream.wait(select.POLLIN, deadline)
        binding = fingerprint(stream.peer_certificate())
    agreed = derive(key, hello + answer + binding)
    stream.send([agreed.client_proof], PROOF_SIZE, left(deadline))
    verdict = stream.read_exactly(1 + PROOF_SIZE, deadline)
    if not hmac.compare_digest(verdict, b"\x01" + agreed.server_proof):
        raise KeyRefused("the server has another key" if verdict[0] else "the server does not know this key")
    return _session(version, None, tls=tls, sending=agreed.to_server, receiving=agreed.to_client)


def welcome(stream: Stream, host: Host) -> Generator[int, None, Session | None]:
    """Take the server's end, and yield what to wait for; None for a stranger that was refused.

    Raises `OSError` or `EOFError`.
    """
    hello = yield from _hear(stream, CLIENT_HELLO.size)
    magic, wish, *offered, _ = CLIENT_HELLO.unpack(hello)
    if magic != MAGIC:
        return None
    version = next((version for version in PROTOCOL_VERSIONS if version in offered), 0)
    code = _judge(version, host, wishes_tls=bool(wish))
    answer = SERVER_HELLO.pack(
        MAGIC, code, host.tls is not None, version, *_places(PROTOCOL_VERSIONS), secrets.token_bytes(NONCE_SIZE)
    )
    _say(stream, answer)
    if code is not Answer.GO_ON:
        return None
    if host.tls is not None:
        yield from _tls_hello(stream)
        yield from stream.secure(host.tls.context, server=True)
    said = hello + answer + (host.tls.fingerprint if host.tls else _PLAIN)
    return (yield from _let_in(stream, host, said, version))


def _tls_hello(stream: Stream) -> Generator[int, None, None]:
    """Wait until the first record of TLS is in: before that there is no memory for a session."""
    yield _RECORD_HEAD
    head = stream.peek(_RECORD_HEAD)
    yield _RECORD_HEAD + min(int.from_bytes(head[3:], "big"), _LARGEST_RECORD)


def _let_in(stream: Stream, host: Host, said: bytes, version: int) -> Generator[int, None, Session | None]:
    proof = yield from _hear(stream, PROOF_SIZE)
    found = host.keys.find(proof, lambda key: derive(key, said).client_proof)
    if found is None:
        _say(stream, bytes(1 + PROOF_SIZE))
        return None
    agreed = derive(found.key, said)
    _say(stream, b"\x01" + agreed.server_proof)
    return _session(version, found, tls=host.tls is not None, sending=agreed.to_client, receiving=agreed.to_server)


def _hear(stream: Stream, size: int) -> Generator[int, None, bytes]:
    heard = b""
    while len(heard) < size:
        yield size - len(heard)
        heard += stream.receive_at_once(size - len(heard))
    return heard


def _say(stream: Stream, word: bytes) -> None:
    if stream.send_at_once([word], len(word)):
        raise BlockingIOError("a peer that takes no hundred bytes")


def _judge(version: int, host: Host, *, wishes_tls: bool) -> Answer:
    if not version:
        return Answer.NO_COMMON_VERSION
    if wishes_tls is not (host.tls is not None):
        return Answer.PLAIN_ONLY if wishes_tls else Answer.TLS_REQUIRED
    return Answer.FULL if host.is_full() else Answer.GO_ON


def _read_answer(answer: bytes, *, tls: bool, versions: Sequence[int]) -> int:
    magic, code, follows, version, *theirs, _ = SERVER_HELLO.unpack(answer)
    if magic != MAGIC or code not in set(Answer):
        raise NotTaskGrid
    if code != Answer.GO_ON:
        raise HandshakeRefused(Answer(code), tuple(filter(None, theirs)))
    if bool(follows) is not tls or version not in versions:
        raise NotTaskGrid  # a server that knows the protocol never says so
    return int(version)


def _session(version: int, key: LiveKey | None, *, tls: bool, sending: bytes, receiving: bytes) -> Session:
    if tls:
        return Session(version, key, None, None)
    return Session(version, key, Seal(sending), Seal(receiving))


def _places(versions: Sequence[int]) -> list[int]:
    return [*versions, *[0] * _VERSIONS][:_VERSIONS]
