"""The client's end of a connection: reach the master, shake hands, and say clearly why it failed.

Registered, with `Listener`, as the standard manager's `taskgrid` transport. TLS is wished unless the
address reached is this machine's own; a master that requires it there too gets it, since asking for more
protection at a stranger's word is safe. It retries nothing: `channel.py` does.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from taskgrid.errors import MasterUnreachable, NotLetIn, TaskGridError, VersionMismatch
from taskgrid.settings import how_to_raise
from taskgrid.transport.address import Address, format_address, is_loopback
from taskgrid.transport.connection import Connection
from taskgrid.transport.handshake import Answer, HandshakeRefused, KeyRefused, NotTaskGrid, greet
from taskgrid.transport.keys import KEY_SIZE
from taskgrid.transport.limits import Limits
from taskgrid.transport.protocol import PROTOCOL_VERSIONS
from taskgrid.transport.stream import Stream, left

Hold = Callable[[Stream], None]
"""Told of each stream before anything waits on it, so that another thread can end it."""

_LIMITS: Final = Limits()


def dial(
    address: Address,
    family: str | None = None,  # noqa: ARG001  # the standard manager's signature; getaddrinfo finds the family
    authkey: bytes | None = None,
    *,
    timeout: float = _LIMITS.handshake,
    hold: Hold = lambda _stream: None,
) -> Connection:
    """Connect to a master within `timeout` seconds.

    Raises `MasterUnreachable`, `NotLetIn` or `VersionMismatch`.
    """
    deadline = time.monotonic() + timeout
    greeting = partial(_greet, address, _whole(bytes(authkey or b""), address), deadline=deadline, hold=hold)
    try:
        try:
            return greeting(tls=None)
        except HandshakeRefused as refused:
            if refused.answer is not Answer.TLS_REQUIRED:
                raise
            return greeting(tls=True)
    except HandshakeRefused as refused:
        raise _explain(refused, address) from None
    except KeyRefused as error:
        raise _not_let_in(error, address) from None
    except (NotTaskGrid, OSError, EOFError) as error:
        raise unreachable(address, _reason(error)) from None


def unreachable(address: Address, why: str) -> MasterUnreachable:
    """Make the error for a master that doesn't answer."""
    return MasterUnreachable(
        f"No master answers at {format_address(address)}.",
        why=why,
        hint="Is `taskgrid master` running there, and is its port open to this machine?",
    )


def _whole(key: bytes, address: Address) -> bytes:
    if len(key) != KEY_SIZE:  # said here: to HMAC a key and the same with a zero byte more are one
        raise _not_let_in(KeyRefused(f"a key has {KEY_SIZE} bytes, this one {len(key)}"), address)
    return key


def _greet(address: Address, key: bytes, *, tls: bool | None, deadline: float, hold: Hold) -> Connection:
    stream = Stream(_connect(address, deadline))
    try:
        hold(stream)
        wish = not is_loopback(stream.peer[0]) if tls is None else tls
        return Connection(stream, greet(stream, key, tls=wish, deadline=deadline, versions=PROTOCOL_VERSIONS), _LIMITS)
    except BaseException:
        stream.close()
        raise


def _connect(address: Address, deadline: float) -> socket.socket:
    failure: OSError = ConnectionError("the name has no address")
    for family, kind, number, _, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        try:
            timeout = left(deadline)
            return _connect_one(socket.socket(family, kind, number), place, timeout)
        except OSError as error:
            failure = error
    raise failure


def _connect_one(sock: socket.socket, place: object, timeout: float) -> socket.socket:
    try:
        sock.settimeout(timeout)
        sock.connect(place)  # type: ignore[arg-type]  # getaddrinfo's own, of whatever family
        if sock.getsockname() == sock.getpeername():
            raise ConnectionRefusedError("nobody listens")  # noqa: TRY301  # a port that was dialled into itself
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(error: BaseException) -> str:
    if isinstance(error, NotTaskGrid):
        return "What answers there does not speak TaskGrid's protocol."
    if isinstance(error, TimeoutError):
        return "It did not answer in time."
    if isinstance(error, EOFError | ConnectionResetError | BrokenPipeError):
        return "It closed the connection before the handshake was done."
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _not_let_in(error: KeyRefused, address: Address) -> NotLetIn:
    return NotLetIn(
        f"The master at {format_address(address)} did not let us in: {error}.",
        why="The key here is not one of that master's, or something between the two relays the connection.",
        hint=f"Copy the key anew: `taskgrid join {format_address(address)}`.",
    )


def _explain(refused: HandshakeRefused, address: Address) -> TaskGridError:
    where = format_address(address)
    if refused.answer is Answer.NO_COMMON_VERSION:
        return _no_shared_version(refused.versions, where)
    if refused.answer is Answer.FULL:
        return MasterUnreachable(
            f"The master at {where} is full.",
            why="It has as many connections as its max_connections allows.",
            hint=f"End some clients or workers, or {how_to_raise('max_connections')}.",
            setting="max_connections",
        )
    if refused.answer is Answer.TLS_REQUIRED:
        return MasterUnreachable(
            f"The master at {where} refused us for asking in the clear, which we did not.",
            why="Something between the two changes what we say.",
            hint="Connect without a proxy or relay in between.",
        )
    return MasterUnreachable(
        f"The master at {where} does not speak TLS, and this is not its machine.",
        why="It was started for its own machine, or with TLS turned off.",
        hint="Start it with --host 0.0.0.0 and without turning TLS off.",
    )


def _no_shared_version(theirs: tuple[int, ...], where: str) -> VersionMismatch:
    we_are_older = max(PROTOCOL_VERSIONS) < max(theirs, default=0)
    older = "this one" if we_are_older else "that one"
    ours, others = (", ".join(map(str, versions)) for versions in (PROTOCOL_VERSIONS, theirs))
    return VersionMismatch(
        f"This TaskGrid and the master at {where} share no protocol version.",
        why=f"Here: {ours}; the master: {others}. The older of the two is {older}.",
        hint="Upgrade TaskGrid on this machine." if we_are_older else f"Upgrade TaskGrid on the machine of {where}.",
    )
