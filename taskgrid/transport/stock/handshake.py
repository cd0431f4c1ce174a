"""The login of `multiprocessing.connection`, from the server's side.

Both ends prove that they hold the key; nothing after it is protected, which is why this port is on
loopback by default. Python 3.12 and later answer with HMAC-SHA256 under the prefix `{sha256}`;
3.11 answers with a bare HMAC-MD5 and sends a challenge of 20 bytes, which asks for MD5 back. A
client speaks only after it answered, so nobody without the key gets anything signed here.

Source: the protocol's description in Lib/multiprocessing/connection.py of CPython 3.13.
"""

from __future__ import annotations

import hmac
import os
from typing import Final, Protocol

_CHALLENGE: Final = b"#CHALLENGE#"
_WELCOME: Final = b"#WELCOME#"
_FAILURE: Final = b"#FAILURE#"
_SHA256: Final = b"{sha256}"
_RANDOM_BYTES: Final = 40
_LEGACY_CHALLENGE_BYTES: Final = 20
_LARGEST: Final = 256


class Stranger(ConnectionError):
    """The peer did not prove that it holds the key."""


class Line(Protocol):
    """What a login needs of a connection."""

    def send_bytes(self, data: bytes) -> None:
        """Send one frame."""

    def recv_bytes(self, maxlength: int) -> bytes:
        """Receive one frame of at most `maxlength` bytes."""


def let_in(line: Line, key: bytes) -> None:
    """Return once both ends have proved the key; raise `Stranger` if the peer does not hold it."""
    _challenge(line, key)
    _answer(line, key)


def _challenge(line: Line, key: bytes) -> None:
    message = _SHA256 + os.urandom(_RANDOM_BYTES)
    line.send_bytes(_CHALLENGE + message)
    if not _proves(line.recv_bytes(_LARGEST), message, key):
        line.send_bytes(_FAILURE)
        raise Stranger("the key is wrong")
    line.send_bytes(_WELCOME)


def _proves(response: bytes, message: bytes, key: bytes) -> bool:
    modern = hmac.compare_digest(response, _modern(key, message))
    legacy = hmac.compare_digest(response, _legacy(key, message))
    return modern or legacy


def _answer(line: Line, key: bytes) -> None:
    challenge = line.recv_bytes(_LARGEST)
    if not challenge.startswith(_CHALLENGE):
        raise Stranger("no challenge came back")
    message = challenge.removeprefix(_CHALLENGE)
    if len(message) == _LEGACY_CHALLENGE_BYTES:
        line.send_bytes(_legacy(key, message))
    elif message.startswith(_SHA256) and len(message) > _LEGACY_CHALLENGE_BYTES:
        line.send_bytes(_modern(key, message))
    else:
        raise Stranger("the challenge asks for a digest other than SHA-256")
    if line.recv_bytes(_LARGEST) != _WELCOME:
        raise Stranger("the peer refused our key")


def _modern(key: bytes, message: bytes) -> bytes:
    return _SHA256 + hmac.digest(key, message, "sha256")


def _legacy(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "md5")
