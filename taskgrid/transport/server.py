"""The master's end: a port, a thread for each connection that speaks, and the service they all call.

A subclass of the standard manager's server that keeps its shape (accepter, handler thread, serving loop)
and none of its doors: no objects are created, counted or named from the wire; a request is a verb of
`protocol/` or is refused. It knows nothing of what the verbs do.

Its keys' folder is read again every second: who came in with a key that is gone from there is cut off.
An ending server first stops listening to its callers, so that a call under way can still be answered,
and cuts their connections when the time is up.
"""

from __future__ import annotations

import itertools
import resource
import socket
import threading
import time
from contextlib import suppress
from functools import partial
from multiprocessing.managers import Server
from typing import Any

import structlog

from taskgrid.transport.address import Address, format_address, is_loopback
from taskgrid.transport.callers import Caller, Callers
from taskgrid.transport.connection import LOST, Connection, Silent
from taskgrid.transport.dispatch import Dispatch
from taskgrid.transport.handshake import Host, welcome
from taskgrid.transport.idle import Idle
from taskgrid.transport.key_table import KeyTable
from taskgrid.transport.limits import Limits
from taskgrid.transport.listener import Listener
from taskgrid.transport.porch import Porch
from taskgrid.transport.protocol import Peer, Service
from taskgrid.transport.standard import SERIALIZER
from taskgrid.transport.tls import ServerTls, server_tls

_BACK_OFF = 0.05  # seconds after the machine had no descriptor or no thread for us
_SPARE_DESCRIPTORS = 1024  # for the journal, the log, the stock port and the interpreter
KEYS_EVERY = 1.0
"""Seconds between two looks at the keys: what a revoked key's connections have left, at most."""
_LAST_WORDS = 0.5  # the share of a stop's time in which calls under way may still be answered
_DEFAULTS = Limits()
_stack_lock = threading.Lock()
_log = structlog.get_logger()


def serve(
    address: Address, keys: KeyTable, service: Service, *, tls: bool | None = None, limits: Limits = _DEFAULTS
) -> GridServer:
    """Bind a server to `address`; `start` makes it accept. `tls` None: unless the address is loopback.

    Raises `UsageError` if the address can't be listened on.
    """
    secure = not is_loopback(address[0]) if tls is None else tls
    return GridServer(address, keys, service, tls=server_tls(keys.folder) if secure else None, limits=limits)


class GridServer(Server):
    """Serves one service on one port; `address` is where."""

    public: list[str] = []  # noqa: RUF012  # declared so by the base class
    fallback_mapping: dict[str, Any] = {}  # noqa: RUF012  # declared so by the base class
    listener: Listener

    def __init__(
        self, address: Address, keys: KeyTable, service: Service, *, tls: ServerTls | None, limits: Limits
    ) -> None:
        super().__init__({}, address, b"", SERIALIZER)  # keys are the handshake's business, not the manager's
        self.address: Address = self.listener.address
        self.stop_event = threading.Event()
        self._keys, self._limits = keys, limits
        self._dispatch = Dispatch(service)
        host = Host(keys, tls, self._is_full)
        self._porch = Porch(self.listener, limits, partial(welcome, host=host))
        self._callers = Callers(service.disconnected)
        self._idle = Idle(self._start_thread)
        self._numbers = itertools.count(1)
        self._counting = threading.Lock()
        self.turned_away = 0
        """Connections that were one too many."""
        self._threads: set[threading.Thread] = set()
        self._accepter = threading.Thread(target=self.accepter, name="taskgrid-accept", daemon=True)
        self._key_watch = threading.Thread(target=self._watch_keys, name="taskgrid-keys", daemon=True)

    def start(self) -> None:
        """Begin to accept connections."""
        _raise_descriptor_limit(self._limits.max_connections + self._limits.porch + _SPARE_DESCRIPTORS)
        self._key_watch.start()
        self._start_thread()
        self._accepter.start()

    def stop(self, within: float) -> None:
        """Close the port and all connections, and end all threads, within that many seconds; once is enough."""
        if self.stop_event.is_set():
            return
        deadline = time.monotonic() + within
        self.stop_event.set()
        self._close_port(within)
        self._callers.shutdown(socket.SHUT_RD)
        self._idle.end()
        self._join(time.monotonic() + _LAST_WORDS * max(0.0, deadline - time.monotonic()))
        self._callers.shutdown(socket.SHUT_RDWR)
        self._join(deadline)
        if self._key_watch.ident is not None:
            self._key_watch.join(_BACK_OFF)
        if self._threads:
            _log.warning("server.threads_left", count=len(self._threads))
        else:
            self._idle.close()

    def serve_forever(self) -> None:
        """Serve until stopped from another thread."""
        self.start()
        self.stop_event.wait()

    def __len__(self) -> int:
        """Count the connections that have shown a key."""
        return len(self._callers)

    def peer_open(self, connection: int) -> bool:
        """Say whether the peer of this connection (`Peer.connection`) is still there."""
        return self._callers.is_open(connection)

    def accepter(self) -> None:
        """Accept until stopped; whatever the machine lacks is waited for, not died of."""
        while not self.stop_event.is_set():
            try:
                self._accept_one()
            except (OSError, RuntimeError) as error:
                _log.warning("server.accept_failed", why=str(error))
                self.stop_event.wait(_BACK_OFF)

    def handle_request(self, conn: Caller) -> None:  # type: ignore[override]  # whoever is served has shown a key
        """Serve one connection until it ends or falls silent."""
        stays = False
        try:
            stays = self._serve(conn) and self._idle.enter(conn)
        except LOST:
            pass  # how a connection ends is the peer's affair; what it meant is told by `disconnected`
        finally:
            if not stays:
                self._leave(conn)

    def create(self, *_: object, **__: object) -> None:  # type: ignore[override]  # closed: nothing is created from the wire
        """Do nothing."""

    incref = decref = create  # closed likewise

    def _close_port(self, within: float) -> None:
        self.listener.wake()
        if self._accepter.ident is not None:
            self._accepter.join(within)
        self._porch.close()
        self.listener.close()

    def _accept_one(self) -> None:
        guest = self._porch.accept()
        if guest is None:
            return
        peer = Peer(format_address(guest.stream.peer), guest.session.roles, next(self._numbers))
        caller = Caller(peer, Connection(guest.stream, guest.session, self._limits))
        self._callers.enter(caller)
        try:
            self._start_thread(caller)
        except RuntimeError:
            self._leave(caller)
            raise

    def _start_thread(self, caller: Caller | None = None) -> None:
        """Start a thread for this caller, or for whoever is idle and speaks next. Raises `RuntimeError`."""
        thread = threading.Thread(target=self._attend, args=(caller,), name="taskgrid-peer", daemon=True)
        self._threads.add(thread)
        try:
            _start_small(thread, self._limits.stack)
        except RuntimeError:
            self._threads.discard(thread)
            raise

    def _attend(self, caller: Caller | None) -> None:
        """Serve a caller, then one idle one after the other, while such threads are needed; a thread's body."""
        try:
            caller = caller or self._idle.next()
            while caller:
                self.handle_request(caller)
                caller = self._idle.next()
        finally:
            self._threads.discard(threading.current_thread())

    def _leave(self, caller: Caller) -> None:
        self._callers.leave(caller)
        caller.connection.close()

    def _serve(self, caller: Caller) -> bool:
        """Answer a caller's requests; say whether it has fallen silent, and may speak again. Raises `LOST`."""
        connection = caller.connection
        if not self._holds_key_of(connection):
            return False
        try:
            frame = connection.receive(self._patience() if caller.heard else self._limits.handshake)
            caller.heard = True
            while not caller.owed:  # else it asked again before it was answered, as no channel does
                caller.owed = True
                reply = self._dispatch.answer(caller.peer, frame, caller.post)
                if reply is not None:
                    caller.owed = False
                    connection.send(reply)
                frame = connection.receive(self._patience())
        except Silent:
            return caller.heard
        return False

    def _patience(self) -> float:
        """Return the seconds to wait for a caller's next word: none if nobody listens for all the others."""
        return self._limits.silence if self._idle.listening else 0.0

    def _holds_key_of(self, connection: Connection) -> bool:
        """Say whether the key is still live: it may have been revoked since it was shown."""
        key = connection.session.key
        return key is not None and self._keys.holds(key)

    def _watch_keys(self) -> None:
        seen = self._keys.changes
        while not self.stop_event.wait(KEYS_EVERY):
            self._keys.reread()
            if seen == self._keys.changes:
                continue
            seen = self._keys.changes
            _log.info("keys.changed", cut=dict(self._callers.cut(self._keys.holds)))

    def _is_full(self) -> bool:
        full = len(self._callers) >= self._limits.max_connections
        if full:
            with self._counting:
                self.turned_away += 1
        return full

    def _join(self, deadline: float) -> None:
        while self._threads and time.monotonic() < deadline:
            for thread in list(self._threads):
                with suppress(RuntimeError):  # one that a listener is about to start
                    thread.join(max(0.0, deadline - time.monotonic()))


def _start_small(thread: threading.Thread, stack: int) -> None:
    """Start a thread with a small stack: the default's 8 MiB of address space, times thousands, is a limit too."""
    with _stack_lock:
        before = threading.stack_size(stack)
        try:
            thread.start()
        finally:
            threading.stack_size(before)


def _raise_descriptor_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
