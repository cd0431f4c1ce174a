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

_BUFFER: Final = 8 << 10  # bytes kept for each connection that is in use
_NO_BUFFER: Final = bytearray()


class Silent(TimeoutError):
    """Nothing came in time, nor any part of a frame: the connection can go on."""


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
        self._buffer = _NO_BUFFER
        self._view = memoryview(_NO_BUFFER)
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
        seal, (pieces, size) = self.session.sending, packed
        return Packed([*pieces, seal.next(pieces)], size + SEAL_SIZE) if seal else packed

    def receive(self, timeout: float | None) -> Frame:
        """Receive a frame whose first byte comes within `timeout` seconds (None: whenever). Raises `LOST`.

        Of these, `Silent` leaves the connection as it was.
        """
        if self._start == self._end:
            self._wait_for_more(timeout)
        self._deadline = None
        while self._end - self._start < PREFIX.size:
            self._read_on()
        size = PREFIX.size + frame_size(self._buffer, self._start, self._limits.max_frame)
        whole = self._take(size + self._seal_size)
        frame = whole[:size]
        if self.session.receiving is not None:
            self.session.receiving.check(frame, whole[size:])
        return unpack(frame)

    def lie_idle(self) -> None:
        """Give up, until the next `receive`, what only a connection in use needs; for whoever found it silent."""
        self._buffer = _NO_BUFFER
        self._view = memoryview(_NO_BUFFER)

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

    def _wait_for_more(self, timeout: float | None) -> None:
        if not self._buffer:
            self._buffer = bytearray(_BUFFER)
            self._view = memoryview(self._buffer)
        try:
            self._start, self._end = 0, self.stream.receive_into(self._view, timeout)
        except TimeoutError as error:
            raise Silent(*error.args) from None

    def _take(self, size: int) -> memoryview:
        start, stop = self._start, self._start + size
        if stop > self._end:
            return self._take_large(size) if size > _BUFFER else self._take_rest(size)
        self._start = stop
        return self._view[start:stop]

    def _take_rest(self, size: int) -> memoryview:
        while self._end - self._start < size:
            self._read_on()
        return self._take(size)

    def _take_large(self, size: int) -> memoryview:
        frame = memoryview(bytearray(size))
        have = self._end - self._start
        frame[:have] = self._view[self._start : self._end]
        self._start = self._end = 0
        while have < size:
            have += self.stream.receive_into(frame[have:], self._left())
        return frame

    def _read_on(self) -> None:
        """Read more of a frame that has begun, behind what is there of it."""
        if self._start:
            rest = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, len(rest)
            self._view[: self._end] = rest
        self._end += self.stream.receive_into(self._view[self._end :], self._left())

    def _left(self) -> float:
        """Return the seconds that the frame has left; they are counted from when it was seen to be incomplete."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._limits.frame
        return left(self._deadline)
