"""From a request's frame to its answer: the table of verbs, who may say them, and what went wrong.

Every road ends in an answer. An error of the service's own making crosses as its code and sentences; any
other is logged here with its traceback, of which the peer is told one line. No socket, no thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import structlog
from pydantic import ValidationError

from taskgrid.errors import NotLetIn, Refused, TaskGridError, TooLarge, UsageError
from taskgrid.transport.frames import Frame, Packed, pack_error, pack_reply
from taskgrid.transport.protocol import VERBS, Answer, Deferred, Outcome, Parts, Peer, Role, Service

MOST_VALUES: Final = 250_000
"""Values in a request's body: to parse one takes up to a hundred bytes, before a model has looked at it."""
_ALWAYS_FEW: Final = 256 << 10  # bytes of a body that can't hold so many that it matters
_log = structlog.get_logger()


class Route(NamedTuple):
    """Where a verb leads: how its body is read, who may say it, and the service's method."""

    read: Callable[[bytes], Any]
    roles: frozenset[Role]
    method: Callable[[Peer, Any, Parts], Answer | Deferred]


class Dispatch:
    """Answers requests from a service; a verb the service has no method for is unknown."""

    def __init__(self, service: Service) -> None:
        self._routes: Final = {
            name: Route(verb.request.__pydantic_validator__.validate_json, verb.roles, getattr(service, name))
            for name, verb in VERBS.items()
            if hasattr(service, name)
        }

    def answer(self, peer: Peer, frame: Frame, later: Callable[[Packed, bool], None]) -> Packed | None:
        """Carry one request to the service and pack what it says; None if `later` gets it, from another thread.

        `later` is told whether more answers follow. Raises nothing that is an `Exception`.
        """
        try:
            answer = self._carry(peer, frame)
            if not isinstance(answer, Deferred):
                return _packed(frame, answer)
        except Exception as error:  # noqa: BLE001  # the last resort: the peer gets an answer
            return _refused(peer, frame, error)
        answer.then(lambda outcome, more: later(_settled(peer, frame, outcome, more=more), more))
        return None

    def _carry(self, peer: Peer, frame: Frame) -> Answer | Deferred:
        route = self._routes.get(frame.envelope.verb)
        if route is None:
            raise _unknown(frame.envelope.verb)
        if not route.roles & peer.roles and Role.OPERATOR not in peer.roles:
            raise _not_allowed(frame.envelope.verb, peer)
        _refuse_many_values(frame)
        try:
            request = route.read(frame.body)
        except ValidationError as error:
            raise _unreadable(frame.envelope.verb, error) from None
        return route.method(peer, request, frame.parts)


def _packed(frame: Frame, answer: Answer, *, more: bool = False) -> Packed:
    reply, parts = answer
    return pack_reply(frame.envelope.n, type(reply).__pydantic_serializer__.to_json(reply), parts, more=more)


def _settled(peer: Peer, frame: Frame, outcome: Outcome, *, more: bool) -> Packed:
    if isinstance(outcome, Exception):
        return _refused(peer, frame, outcome)
    try:
        return _packed(frame, outcome, more=more)
    except Exception as error:  # noqa: BLE001  # likewise
        return _refused(peer, frame, error)


def _refused(peer: Peer, frame: Frame, error: Exception) -> Packed:
    if isinstance(error, TaskGridError):
        return pack_error(frame.envelope.n, error)
    _log.error("request.failed", verb=frame.envelope.verb, peer=peer.address, exc_info=error)
    return pack_error(frame.envelope.n, _unexpected(frame.envelope.verb, error))


def _unknown(verb: str) -> Refused:
    return Refused(
        f"This master does not know the verb {verb[:40]!r}.",
        why="It is older than this TaskGrid.",
        hint="Upgrade the master first, then workers and clients.",
    )


def _not_allowed(verb: str, peer: Peer) -> NotLetIn:
    return NotLetIn(
        f"The key shown may not {verb}.",
        why=f"It is one for the role {', '.join(sorted(peer.roles)) or 'none'}.",
        hint="Use the key of a role that may, or the master's first key, which carries all.",
    )


def _refuse_many_values(frame: Frame) -> None:
    body = frame.body
    if len(body) <= _ALWAYS_FEW:
        return
    values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if values > MOST_VALUES:
        raise TooLarge(
            f"The {frame.envelope.verb} request has {values:,} values, more than {MOST_VALUES:,}.",
            why="Requests are small; payloads and outcomes travel beside them.",
            hint="Name fewer jobs or tasks at a time.",
        )


def _unreadable(verb: str, error: ValidationError) -> UsageError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    return UsageError(f"The {verb} request can't be read.", why=f"{place}: {first['msg']}" if place else first["msg"])


def _unexpected(verb: str, error: Exception) -> TaskGridError:
    return TaskGridError(
        f"The master failed at a {verb} request.",
        why=f"{type(error).__name__}: {error}",
        hint="This is a defect of TaskGrid; the master's log has its traceback.",
    )
