"""What the transport puts up with: sizes, numbers and durations, in one place.

Every number here closes a way to make a master or a client wait, or grow, without end. The settings of
the programs choose some of them; this module reads none itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from taskgrid.transport.protocol import MAX_FRAME


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, numbers and seconds, each with the default that a master runs with."""

    max_frame: int = MAX_FRAME
    """Bytes of one frame; a larger one ends the connection."""
    handshake: float = 5.0
    """Seconds from the dial to the end of the handshake; a server allows them once more for the first request."""
    silence: float = 0.5
    """Seconds without a word after which a connection gives its thread back to the server, until the next one."""
    frame: float = 15.0
    """Seconds from a frame's first byte to its last."""
    send: float = 15.0
    """Seconds a peer may refuse to read."""
    answer: float = 60.0
    """Seconds a client waits for an answer, beyond what its request asks the master to wait."""
    max_connections: int = 8192
    """Connections at once that have shown a key."""
    porch: int = 2048
    """Connections at once that have not shown a key; each takes a descriptor, and in the midst of TLS 44 KB."""
    shed_after: float = 1.0
    """Seconds after which one of them makes room for the next, when all places are taken."""
    backlog: int = 512
    """Connections the kernel keeps for us until we accept them."""
    stack: int = 512 << 10
    """Bytes of stack for the thread of each connection that speaks."""
