"""A channel: the one owner of a client's connection, and of its patience.

It numbers its requests and checks that the answer carries the number. Whatever escapes between the two, be
it a timeout or Ctrl-C, closes the connection, so that no later call can get an earlier one's answer. A lost
connection is made anew through tenacity (at once, then exponential with full jitter) and the request said
again: repeating any verb is harmless. What the master refuses is never repeated.

After a fork the child leaves the connection to its parent and makes its own. The channel knows nothing of
verbs or messages.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_before_delay,
    stop_never,
    wait_random_exponential,
)

from taskgrid.errors import MasterUnreachable, TaskGridError
from taskgrid.transport.address import Address, format_address
from taskgrid.transport.connection import LOST, Connection
from taskgrid.transport.dial import dial, unreachable
from taskgrid.transport.frames import Frame, FrameError, pack_request, unpack_error
from taskgrid.transport.protocol import Parts
from taskgrid.transport.stream import Stream

_FIRST_WAIT = 0.1  # seconds: the most that is waited after the first failed connect
_LONGEST_WAIT = 5.0
_CLOSE_PATIENCE = 0.5  # seconds for a call that was just ended to let go of its connection
_LARGE = 8 << 10  # bytes of a request: what is smaller the kernel surely takes without a wait


class ChannelClosed(TaskGridError):
    """The channel was closed, perhaps while a call waited."""

    code: ClassVar[str] = "channel-closed"


class Patience(NamedTuple):
    """How long to try, and whom to tell."""

    connect_timeout: float
    """Seconds for one try to reach a master, all servers together."""
    reconnect_for: float | None
    """Seconds from the loss of a connection; None: for ever."""
    on_wait: Callable[[str], None] | None = None
    """Told in a sentence before each wait."""


class Ask(NamedTuple):
    """One request, as often as it must be said; told from others by identity."""

    verb: str
    body: bytes
    parts: Parts
    answer_within: float
    """Seconds for an answer, each time it is said."""
    deadline: float | None
    """When to give up altogether, on the monotonic clock."""


class Channel:
    """Calls to a master over one connection, one at a time; `generation` grows with each connection made."""

    def __init__(self, servers: Sequence[Address], key: bytes, patience: Patience) -> None:
        self._servers = tuple(servers)
        self._key = key
        self._patience = patience
        self._preferred = 0
        self._number = 0
        self._connection: Connection | None = None
        self._stream: Stream | None = None  # the connection's, or the one that is being dialled
        self._begun: Ask | None = None  # said, and its answer, or the next of its answers, not read
        self._early: list[tuple[Ask, Frame]] = []  # answers that were read for another thread
        self.generation = 0
        self._make_locks()
        _channels.add(self)

    def begin(self, ask: Ask) -> None:
        """Say a request now if that needs no wait; `call` waits for the answer, and else says it then."""
        if len(ask.body) + sum(map(len, ask.parts)) >= _LARGE or not self._lock.acquire(blocking=False):
            return
        try:
            if self._connection is not None and self._begun is None and not self._closing.is_set():
                self._say_ahead(self._connection, ask)
        finally:
            self._lock.release()

    def awaits(self, ask: Ask) -> bool:
        """Say whether a request was said and has an answer to come: its first, or another after the one before."""
        return self._begun is ask

    def take_back(self, ask: Ask) -> None:
        """Let go of a request that was begun: its connection ends, since the answer would be the next call's."""
        with self._lock:
            if self._begun is ask:
                self._drop()
            self._early = [early for early in self._early if early[0] is not ask]

    def call(self, ask: Ask) -> tuple[bytes, Parts]:
        """Say a request, unless it was begun, until it is answered; return the reply's body and parts.

        Raises what the master answered, `MasterUnreachable`, `NotLetIn`, `VersionMismatch`, `TooLarge` or
        `ChannelClosed`.
        """
        with self._lock:
            try:
                frame = self._deliver(ask)
            finally:
                if self._closing.is_set():
                    self._drop()
        if not frame.envelope.ok:
            raise unpack_error(frame.body)
        return frame.body, frame.parts

    def connect(self) -> None:
        """Try once to reach a master. Raises as `call` does."""
        with self._lock:
            if self._connection is None:
                self._connect(self._patience.connect_timeout)

    def close(self) -> None:
        """End the connection for good, from any thread; a call that waits raises `ChannelClosed`."""
        with self._guard:
            self._closing.set()
            if self._stream is not None:
                self._stream.shutdown()
        if self._lock.acquire(timeout=_CLOSE_PATIENCE):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _say_ahead(self, connection: Connection, ask: Ask) -> None:
        self._number += 1
        try:
            connection.post(pack_request(self._number, ask.verb, ask.body, ask.parts))
            self._begun = ask
        finally:
            if self._begun is not ask:
                self._drop()  # whatever escaped may have left half a frame

    def _deliver(self, ask: Ask) -> Frame:
        for early in self._early:
            if early[0] is ask:
                self._early.remove(early)
                return early[1]
        if self._connection is not None:
            try:
                return self._exchange(ask)
            except _Lost:
                pass
        self._refuse_if_closed()
        return self._insist(ask)

    def _insist(self, ask: Ask) -> Frame:
        limits = [self._patience.reconnect_for, ask.deadline and ask.deadline - time.monotonic()]
        limit = min((limit for limit in limits if limit is not None), default=None)
        retrying = Retrying(
            retry=retry_if_exception_type((_Lost, MasterUnreachable)),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            stop=stop_never if limit is None else stop_before_delay(limit),
            sleep=sleep_using_event(self._closing),
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            return retrying(self._exchange, ask)
        except _Lost as lost:
            raise unreachable(self._servers[self._preferred], str(lost)) from None

    def _exchange(self, ask: Ask) -> Frame:
        connection = self._connection or self._connect(_sooner(self._patience.connect_timeout, ask))
        begun = self._begun
        packed = None if begun is ask else pack_request(self._number + 1, ask.verb, ask.body, ask.parts)
        self._begun, answered = None, False
        try:
            if begun is not None and begun is not ask:
                self._early.append((begun, self._answer(connection, begun)))  # its caller comes for it later
            if packed is not None:
                self._number += 1
                connection.send(packed)
            frame = self._answer(connection, ask)
            self._begun, answered = ask if frame.envelope.more else None, True
        except LOST as error:
            self._refuse_if_closed()
            raise _Lost(_told(error)) from error
        finally:
            if not answered:
                self._drop()
        return frame

    def _answer(self, connection: Connection, ask: Ask) -> Frame:
        frame = connection.receive(_sooner(ask.answer_within, ask))
        if frame.envelope.n != self._number:
            raise FrameError("the answer to another request")  # it ends as all lost connections do
        return frame

    def _connect(self, timeout: float) -> Connection:
        deadline, count = time.monotonic() + timeout, len(self._servers)
        failure = MasterUnreachable("No master is known.")
        for tried in range(count):
            at = (self._preferred + tried) % count
            share = max(0.0, deadline - time.monotonic()) / (count - tried)
            try:
                self._connection = dial(self._servers[at], authkey=self._key, timeout=share, hold=self._hold)
            except MasterUnreachable as error:
                self._refuse_if_closed()
                failure = error
            else:
                self._preferred = at
                self.generation += 1
                return self._connection
        raise failure

    def _hold(self, stream: Stream) -> None:
        with self._guard:
            self._stream = stream
            self._refuse_if_closed()

    def _drop(self) -> None:
        with self._guard:
            connection, self._connection, self._stream = self._connection, None, None
        self._begun = None
        if connection is not None:
            connection.close()

    def _refuse_if_closed(self) -> None:
        if self._closing.is_set():
            raise ChannelClosed("The connection to the master was closed here.")

    def _tell(self, state: RetryCallState) -> None:
        if self._patience.on_wait is None or state.outcome is None:
            return
        error = state.outcome.exception()
        why = getattr(error, "why", "") or str(error)
        where = ", ".join(map(format_address, self._servers))
        self._patience.on_wait(f"No answer from {where} ({why}); next try in {state.upcoming_sleep:.1f} s.")

    def _make_locks(self, *, closed: bool = False) -> None:
        self._lock = threading.Lock()  # one call at a time
        self._guard = threading.Lock()  # what `close` looks at while a call is under way
        self._closing = threading.Event()
        if closed:
            self._closing.set()

    def _leave_to_parent(self) -> None:
        """Forget the connection, and the locks that threads of the parent may have held."""
        stream, self._connection, self._stream = self._stream, None, None
        self._begun = None
        self._make_locks(closed=self._closing.is_set())
        if stream is not None:
            stream.abandon()


class _Lost(Exception):
    """The connection was lost before the answer came."""


_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for channel in list(_channels):
        channel._leave_to_parent()  # noqa: SLF001  # the fork's hook belongs to the class


os.register_at_fork(after_in_child=_leave_all_to_parent)


def _sooner(seconds: float, ask: Ask) -> float:
    """Shorten a wait to what is left of the call's own time."""
    if ask.deadline is None:
        return seconds
    return max(0.0, min(seconds, ask.deadline - time.monotonic()))


def _told(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "It did not answer in time."
    if isinstance(error, EOFError | ConnectionResetError | BrokenPipeError):
        return "It closed the connection."
    return getattr(error, "strerror", None) or str(error)
