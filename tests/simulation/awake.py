"""Who is expired, and was the master awake long enough to say so?

A lease may end by time only when the master has been *awake* for a lease's time since it heard of
the lease, or for the grace since it lost the worker's last connection. Long pauses don't count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskgrid.model import Token

from .loop import Event
from .master import GRACE, LEASE, TICK
from .network import Message

_LONG = 2.0
"""Seconds: a shorter pause counts as awake."""
_SLACK = 0.01


class Suspension:
    """Reads the master's side of a history."""

    def __init__(self, find: Callable[[str], None]) -> None:
        self._find = find
        self._paused_at: float | None = None
        self._slept: list[tuple[float, float]] = []
        self._granted: dict[Token, float] = {}
        self._heard: dict[Token, float] = {}
        self._holder: dict[Token, str] = {}
        self._enlisted: set[str] = set()
        self._connections: dict[str, set[int]] = {}
        self._gone: dict[str, float] = {}
        self._hung_up: set[int] = set()

    def read(self, event: Event) -> None:
        """Read one line."""
        at, kind, *facts = event
        match kind:
            case "asked":
                self._asked(facts[0])
            case "answered":
                message, reply, _, asked_at = facts
                self._answered(message, reply, asked_at)
            case "hang-up":
                self._lost(at, facts[0])
            case "tick":
                for token in facts[0]:
                    self._expired(at, token)
            case "start" | "pause" | "resume" if facts[0] == "master":
                self._turned(at, kind)

    def _turned(self, at: float, kind: str) -> None:
        if kind == "pause":
            self._paused_at = at
        elif kind == "resume" and self._paused_at is not None:
            if at - self._paused_at > _LONG:
                self._slept.append((self._paused_at, at))
            self._paused_at = None
        elif kind == "start":
            self._paused_at = None
            for known in (
                self._granted,
                self._heard,
                self._holder,
                self._enlisted,
                self._connections,
                self._gone,
                self._hung_up,
            ):
                known.clear()

    def _asked(self, message: Message) -> None:
        _, connection, verb, request, _ = message
        worker = getattr(request, "worker", None)
        if worker is None or connection in self._hung_up:
            return
        if verb == "enlist":
            self._enlisted.add(worker)
        if verb == "leave":
            self._enlisted.discard(worker)
        elif worker in self._enlisted and verb != "report":  # refused unheard while the disk is full
            self._connections.setdefault(worker, set()).add(connection)
            self._gone.pop(worker, None)

    def _answered(self, message: Message, reply: Any, asked_at: float) -> None:
        if reply is None:
            return
        if message.verb == "lease":
            for bundle in reply.bundles:
                # Of a request that was repeated, the last may be answered first.
                self._granted[bundle.token] = min(asked_at, self._granted.get(bundle.token, asked_at))
                self._holder[bundle.token] = message.request.worker
        if message.verb == "extend" and reply.known:  # a stranger's leases do not go on: it enlists first
            for lease in message.request.leases:
                self._heard[lease.token] = asked_at
                self._holder[lease.token] = message.request.worker

    def _lost(self, at: float, connection: int) -> None:
        self._hung_up.add(connection)
        for worker, there in self._connections.items():
            if connection in there:
                there.discard(connection)
                if not there:
                    self._gone[worker] = at

    def _awake(self, since: float, at: float) -> float:
        asleep = sum(max(0.0, min(at, end) - max(since, begin)) for begin, end in self._slept)
        return at - since - asleep

    def _expired(self, at: float, token: Token) -> None:
        worker = self._holder.get(token)
        if worker is None:
            return  # its answer never left
        heard = max(self._granted.get(token, 0.0), self._heard.get(token, 0.0))
        by_time = self._awake(heard, at) >= LEASE - _SLACK
        gone = self._gone.get(worker)
        by_grace = gone is not None and self._awake(gone, at) >= GRACE - _SLACK
        if not (by_time or by_grace):
            awake = self._awake(heard, at)
            self._find(f"lease {token} expired after the master was awake for {awake:.2f} s of {LEASE} (tick {TICK})")
