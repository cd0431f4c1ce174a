"""A `multiprocessing.managers.Server` that serves textbook clients fixed verbs and nothing else.

The stock server creates objects on request, counts references, lists its objects, shuts down when
told to and looks methods up by name: whoever holds its key runs code in it. Here the objects exist
beforehand, `create` only finds them, `incref` and `decref` do nothing, and a request names an entry
of a table (`Verb`). A thread serves each connection; strangers and connections are bounded, and a
thread that can't be started costs one connection, not the service. It knows no queue.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.managers import (  # type: ignore[attr-defined]  # typeshed leaves the undocumented table out
    Server,
    listener_client,
)
from typing import Any, ClassVar, Final, Protocol

import structlog

from taskgrid.clock import Clock, SystemClock
from taskgrid.settings import how_to_raise
from taskgrid.transport.stock.connection import Limits, StockConnection
from taskgrid.transport.stock.decode import Undecodable
from taskgrid.transport.stock.handshake import Stranger, let_in
from taskgrid.transport.stock.listener import StockListener

__all__ = ["Handover", "Limits", "Peer", "StockServer", "Verb"]

_SERIALIZER: Final = "taskgrid-stock"
_PAUSE: Final = 0.05
_LIMITS: Final = Limits()
_Message = tuple[str, Any]


class Peer(Protocol):
    """Who calls a verb."""

    def is_open(self) -> bool:
        """Say whether the peer still has its end of the connection."""


Verb = Callable[..., Any]
"""Called with a `Peer` and what the client passed. What it raises from `errors` reaches the client."""


@dataclass(frozen=True)
class Handover:
    """An answer that must not get lost: `take_back` is called if the peer can't have got it."""

    value: Any
    take_back: Callable[[], None]


class StockServer(Server):
    """Serves `objects` (name → verb → callable) at `address` to holders of `key`.

    `errors` are the exceptions that clients get as they are; all others become text.
    """

    public: ClassVar[list[str]] = ["create", "dummy", "get_methods", "incref", "decref", "accept_connection"]  # type: ignore[misc]  # a constant of the class, as in the standard library
    listener: StockListener
    fallback_mapping: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]  # likewise

    def __init__(
        self,
        address: tuple[str, int],
        key: bytes,
        objects: Mapping[str, Mapping[str, Verb]],
        errors: tuple[type[Exception], ...] = (),
        *,
        limits: Limits = _LIMITS,
        clock: Clock | None = None,
    ) -> None:
        if not key:
            raise ValueError("an empty key lets everybody in")
        super().__init__({}, address, key, _SERIALIZER)
        self._key = key
        self._objects = objects
        self._errors = errors
        self._limits = limits
        self._clock = clock or SystemClock()
        self._ending = threading.Event()
        self._changed = threading.Condition()
        self._connections: dict[StockConnection, threading.Thread] = {}
        self.turned_away = 0
        """Connections that were one too many."""
        self._accepter = threading.Thread(target=self.accepter, name="stock-accept", daemon=True)
        self._log = structlog.get_logger("taskgrid.stock")

    def start(self) -> None:
        """Accept connections, in a thread."""
        self._accepter.start()

    def stop(self, within: float) -> None:
        """Close the listener and every connection, and wait at most `within` seconds for their threads."""
        until = self._clock.now() + within
        self._ending.set()
        self.listener.close()
        with self._changed:
            self._changed.notify_all()
            threads = list(self._connections.values())
            for connection in self._connections:
                connection.hang_up()
        for thread in [self._accepter, *threads]:
            if thread.is_alive():
                thread.join(max(0.0, until - self._clock.now()))

    # ---- the door

    def accepter(self) -> None:
        """Accept connections until the server stops."""
        while not self._ending.is_set():
            self._make_room()
            try:
                sock = self.listener.accept()
            except OSError:
                # Out of descriptors, or the listener is closed: neither may spin.
                self._ending.wait(_PAUSE)
                continue
            self._take_in(sock)

    def _make_room(self) -> None:
        with self._changed:
            while not self._ending.is_set() and (strangers := self._strangers_over()):
                oldest = min(strangers, key=lambda one: one.progress_at)
                idle = self._clock.now() - oldest.progress_at
                if idle >= self._limits.shed_after:
                    oldest.hang_up()
                self._changed.wait(max(_PAUSE, self._limits.shed_after - idle))

    def _strangers_over(self) -> list[StockConnection]:
        strangers = [one for one in self._connections if one.login_by is not None]
        return strangers if len(strangers) >= self._limits.strangers else []

    def _take_in(self, sock: socket.socket) -> None:
        connection = self._connection(sock)
        if connection is None:
            return
        thread = threading.Thread(target=self.handle_request, args=(connection,), name="stock", daemon=True)
        with self._changed:
            if self._ending.is_set():
                connection.close()
                return
            self._connections[connection] = thread
        try:
            thread.start()
        except RuntimeError as error:
            self._log.warning("stock.thread_refused", why=str(error))
            connection.close()
            self._ending.wait(_PAUSE)

    def _connection(self, sock: socket.socket) -> StockConnection | None:
        try:
            return StockConnection(sock, self._limits, self._clock, self._forget)
        except OSError:
            sock.close()
            return None

    def _forget(self, connection: StockConnection) -> None:
        with self._changed:
            self._connections.pop(connection, None)
            self._changed.notify_all()

    # ---- one connection

    def handle_request(self, conn: Any) -> None:
        """Let a peer in and serve it until it leaves."""
        try:
            let_in(conn, self._key)
            self._first_request(conn)
        except Stranger as error:
            self._log.warning("stock.refused", why=str(error))
        except (EOFError, Undecodable):
            pass
        finally:
            conn.close()

    def _first_request(self, connection: StockConnection) -> None:
        name, arguments, named = _request(connection.recv())[1:]
        if not self._may_stay(connection):
            hint = how_to_raise("stock_max_connections")
            connection.send(_refusal(f"there are {self._limits.connections:,} connections: close some, or {hint}"))
            return
        if name == "accept_connection":
            self.accept_connection(connection, "")
        elif name in self.public:
            connection.send(self._called(getattr(self, name), connection, arguments, named)[0])
        else:
            connection.send(_refusal(f"{name} is not offered by TaskGrid's stock port"))

    def _may_stay(self, connection: StockConnection) -> bool:
        with self._changed:
            full = self.logged_in >= self._limits.connections
            self.turned_away += full
            connection.login_by = None if not full else connection.login_by
            self._changed.notify_all()
        return not full

    @property
    def logged_in(self) -> int:
        """How many connections have shown the key and asked for something."""
        return sum(one.login_by is None for one in list(self._connections))

    def accept_connection(self, c: Any, name: str) -> None:  # noqa: ARG002  # the peer's name for its thread means nothing here
        """Serve a proxy's calls on this connection."""
        c.send(("#RETURN", None))
        self.serve_client(c)

    def serve_client(self, conn: Any) -> None:
        """Answer calls until the peer leaves."""
        while not self._ending.is_set():
            message, take_back = self._answer(conn)
            if take_back is None:
                conn.send(message)
            else:
                _hand_over(conn, message, take_back)

    def _answer(self, connection: StockConnection) -> tuple[_Message, Callable[[], None] | None]:
        try:
            ident, name, arguments, named = _request(connection.recv())
        except Undecodable as error:
            return _refusal(str(error)), None
        verb = self._objects.get(ident or "", {}).get(name)
        if verb is None:
            return _refusal(f"{ident} has no {name} here; it has {', '.join(self._objects.get(ident or '', ()))}"), None
        return self._called(verb, connection, arguments, named)

    def _called(
        self, verb: Verb, connection: StockConnection, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[_Message, Callable[[], None] | None]:
        try:
            answer = verb(connection, *arguments, **named)
        except self._errors as error:
            return ("#ERROR", error), None
        except EOFError:
            raise
        except Exception as error:  # noqa: BLE001  # the peer's mistake or ours: it is told, the service goes on
            return _refusal(f"{type(error).__name__}: {error}"), None
        if isinstance(answer, Handover):
            return ("#RETURN", answer.value), answer.take_back
        return ("#RETURN", answer), None

    # ---- what a manager asks before it has a proxy

    def create(self, c: Any, typeid: str, /, *args: Any, **kwds: Any) -> tuple[str, tuple[str, ...]]:  # noqa: ARG002  # the standard library's signature
        """Return the name and the verbs of an object that has been there all along."""
        if args or kwds or typeid not in self._objects:
            raise LookupError(f"there is no {typeid} here; there is {', '.join(self._objects)}")
        return typeid, tuple(self._objects[typeid])

    def get_methods(self, c: Any, token: Any) -> tuple[str, ...]:  # type: ignore[override]  # noqa: ARG002  # a Token arrives as its state; typeshed says set, the library returns a tuple
        """Return the verbs of the object that `token` names."""
        return tuple(self._objects[token[2]])

    def incref(self, c: Any, ident: str) -> None:
        """Do nothing: the objects stay."""

    def decref(self, c: Any, ident: str) -> None:
        """Do nothing: the objects stay."""


def _request(value: Any) -> tuple[str | None, str, tuple[Any, ...], dict[str, Any]]:
    match value:
        case (str() | None as ident, str() as name, tuple() as arguments, dict() as named):
            if all(type(key) is str for key in named):
                return ident, name, arguments, named
    raise Undecodable("a request is (object, verb, arguments, named arguments)")


def _hand_over(connection: StockConnection, message: _Message, take_back: Callable[[], None]) -> None:
    if not connection.is_open():
        take_back()
        return
    try:
        connection.send(message)
    except EOFError:
        take_back()
        raise


def _refusal(why: str) -> _Message:
    return "#TRACEBACK", why


listener_client[_SERIALIZER] = (StockListener, None)
