"""What every message has in common: limits of a frame, roles of a peer, and what a service is."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from taskgrid.model.job import Model

PROTOCOL_VERSIONS: Final = (1,)
"""What this TaskGrid speaks, best first."""

MAX_FRAME: Final = 8 << 20
"""Bytes: the largest frame either end accepts."""

CUT: Final = 1 << 20
"""Bytes: chunks, bundles and reports are cut here, or at one item."""

DEFAULT_PORT: Final = 7117


class Message(Model):
    """A header."""


class Role(StrEnum):
    """What the holder of a key may do."""

    CLIENT = "client"  # submit, see and cancel jobs
    WORKER = "worker"  # take tasks and report on them
    OPERATOR = "operator"  # both, and everything else


class Empty(Message):
    """Nothing to say but yes."""


class Peer(NamedTuple):
    """Who is at the other end of a connection, as a service may know it."""

    address: str
    roles: frozenset[Role]
    connection: int
    """Unique among the connections of this master's life."""


Parts = tuple[bytes, ...]

Answer = tuple[Model, Parts]
"""What a service says to a request."""


class Service(Protocol):
    """What the server calls: one method per verb, named as the verb, and a word when a connection ends.

    A method is `verb(peer, request, parts) -> (reply, parts)`, or returns a `Deferred` for a long poll,
    which then holds no thread. It raises `TaskGridError` to refuse.
    """

    def disconnected(self, peer: Peer) -> None:
        """Hear that a connection is gone; called once per connection, from its own thread."""
