"""A connection of frames: a stream after its handshake, with the seals of both directions.

Small frames are read through a buffer of their own connection, mostly with one system call each; a
larger one goes to a buffer made for it. It knows nothing of verbs or retries: whatever goes wrong is an
`OSError`, an `EOFError` or a `FrameError` (together `LOST`), after which it can only be closed.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Final, NamedTuple

from taskgrid.transport.frames import PREFIX, SEAL_SIZE, Frame, FrameError, Packed, Seal, frame_size, unpack
from taskgrid.transport.keys import LiveKey
from taskgrid.transport.limits import Limits
from taskgrid.transport.protocol import Role
from taskgrid.transport.stream import Stream, left

LOST: Final = (OSError, EOFError, FrameError)
"""What ends a connection."""

_BUFFER: Final = 8 << 10  # bytes kept for each connection, so that thousands of idle ones stay cheap


class Session(NamedTuple):
    """What a handshake agreed on; no seals under TLS, and no key at the client's end."""

    version: int
    key: LiveKey | None
    sending: Seal | None
    receiving: Seal | None

    @property
    def roles(self) -> frozenset[Role]:
        """Return what the peer may do."""
        return self.key.roles if self.key else frozenset()


class Connection:
    """Sends and receives frames: one thread at a time does the one, one the other."""

    def __init__(self, stream: Stream, session: Session, limits: Limits) -> None:
        self.stream = stream
        self.session = session
        self._limits = limits
        self._seal_size = SEAL_SIZE if session.receiving else 0
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._deadline: float | None = None
        self._sending = threading.Lock()
        self._finishing = False

    def send(self, packed: Packed) -> None:
        """Send a packed frame. Raises `LOST`."""
        with self._sending:
            pieces, size = self._sealed(packed)
            self.stream.send(pieces, size, self._limits.send)

    def post(self, packed: Packed) -> None:
        """Send a packed frame from any thread without waiting for the peer; if that fails, the connection ends.

        What the peer does not take at once is left to a thread that ends with it, or at the send's deadline.
        """
        if self._finishing:
            self.shutdown()  # it asked again before it took the last answer
            return
        try:
            with self._sending:
                rest = self.stream.send_at_once(*self._sealed(packed))
                self._finishing = bool(rest)
            if rest:
                threading.Thread(target=self._finish, args=(rest,), name="taskgrid-rest", daemon=True).start()
        except (*LOST, RuntimeError):  # the latter: no thread can be started
            self.shutdown()

    def _finish(self, rest: memoryview) -> None:
        try:
            with self._sending:
                self.stream.send([bytes(rest)], len(rest), self._limits.send)
            self._finishing = False
        except LOST:
            self.shutdown()

    def _sealed(self, packed: Packed) -> Packed:
        seal = self.session.sending
        if seal is None:
            return packed
        return Packed([*packed.pieces, seal.next(packed.pieces)], packed.size + SEAL_SIZE)

    def receive(self, timeout: float | None) -> Frame:
        """Receive a frame whose first byte comes within `timeout` seconds (None: whenever). Raises `LOST`."""
        self._deadline = None
        if self._start < self._end:
            self._begin()
        self._fill(PREFIX.size, timeout)
        size = PREFIX.size + frame_size(self._buffer, self._start, self._limits.max_frame)
        frame = self._take(size + self._seal_size)
        if self.session.receiving is not None:
            self.session.receiving.check(frame[:size], frame[size:])
        return unpack(frame[:size])

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self.stream.fileno()

    def peer_open(self) -> bool:
        """Say whether the other end still has its side open."""
        return self.stream.peer_open()

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        """End it from any thread."""
        self.stream.shutdown(how)

    def close(self) -> None:
        """End it and give its descriptor back; for its owner."""
        self.stream.close()

    def _begin(self) -> None:
        self._deadline = time.monotonic() + self._limits.frame

    def _take(self, size: int) -> memoryview:
        if size > _BUFFER:
            return self._take_large(size)
        self._fill(size, None)
        taken = self._view[self._start : self._start + size]
        self._start += size
        if self._start == self._end:
            self._start = self._end = 0
        return taken

    def _take_large(self, size: int) -> memoryview:
        frame = memoryview(bytearray(size))
        have = min(self._end - self._start, size)
        frame[:have] = self._view[self._start : self._start + have]
        self._start = self._end = 0
        while have < size:
            have += self._receive_into(frame[have:], None)
        return frame

    def _fill(self, size: int, timeout: float | None) -> None:
        if self._start + size > _BUFFER:
            rest = bytes(self._view[self._start : self._end])
            self._view[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        while self._end - self._start < size:
            self._end += self._receive_into(self._view[self._end :], timeout)

    def _receive_into(self, view: memoryview, timeout: float | None) -> int:
        if self._deadline is not None:
            return self.stream.receive_into(view, left(self._deadline))
        count = self.stream.receive_into(view, timeout)
        self._begin()
        return count
