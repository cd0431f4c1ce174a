"""The network: connections that break, requests and answers that get lost, come late or come twice.

A channel is one connection of a process at a time, as the real one: a call is repeated over a new
connection until it is answered, so the master may meet a request again, late, or after the
connection it came by is gone. What it does not know: verbs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from .loop import Loop, Node

Respond = Callable[[Any, Any], None]
"""Called with (reply, parts), or with (None, error)."""


class Message(NamedTuple):
    """A request on its way."""

    name: str
    """Whose it is."""
    connection: int
    verb: str
    request: Any
    parts: Any


@dataclass
class Weather:
    """How bad the network is now."""

    lost: float = 0.0
    """The share of messages that take their connection with them."""
    twice: float = 0.0
    """The share of requests that arrive again."""
    slow: float = 0.0
    """The share of messages that take seconds."""


class Network:
    """Between all nodes and the master."""

    def __init__(self, loop: Loop, master: Any) -> None:
        self.loop = loop
        self.master = master
        self.weather = Weather()
        self.cut: set[str] = set()
        """Names of nodes that the master can't be reached from, nor reach."""
        self._connections = 0
        self._channels: list[Channel] = []

    def join(self, channel: Channel) -> None:
        """Know a channel, so that it hears when the master dies."""
        self._channels.append(channel)

    def number(self) -> int:
        """Return a new connection's number."""
        self._connections += 1
        return self._connections

    def delay(self) -> float:
        """Return how long a message takes."""
        chance = self.loop.random
        if chance.random() < self.weather.slow:
            return chance.uniform(0.5, 4.0)
        return chance.uniform(0.0002, 0.004)

    def is_lost(self, name: str) -> bool:
        """Say whether a message between that node and the master gets lost."""
        return name in self.cut or self.loop.random.random() < self.weather.lost

    def arrives_twice(self) -> bool:
        """Say whether a request arrives again."""
        return self.loop.random.random() < self.weather.twice

    def reset(self, life: int) -> None:
        """Tell the peers of a master that died, as far as they can be reached."""
        for channel in self._channels:
            if channel.master_life == life and channel.connection and channel.node.name not in self.cut:
                channel.hear_of_break(channel.connection, self.loop.random.uniform(0.001, 0.1))

    def cut_connections(self) -> None:
        """Break connections here and there."""
        for channel in self._channels:
            if channel.connection and self.loop.random.random() < 0.5:
                channel.hear_of_break(channel.connection, self.loop.random.uniform(0.0, 0.5))


class Channel:
    """One connection of a node to the master, made again whenever it breaks. One call at a time."""

    def __init__(self, node: Node, network: Network) -> None:
        self.node = node
        self.generation = 0
        self.connection = 0
        self.master_life = 0
        self._network = network
        self._call: tuple[int, str, Any, Any, Callable[..., None]] | None = None
        self._attempt = 0
        network.join(self)

    def call(self, verb: str, request: Any, parts: Any, answer: Callable[..., None]) -> None:
        """Ask until there is an answer."""
        self._call = (self._attempt, verb, request, parts, answer)
        self._try()

    def close(self) -> None:
        """Let the connection go."""
        self._call = None
        self._drop()

    def hear_of_break(self, connection: int, after: float) -> None:
        """Learn after a while that a connection is gone."""
        self.node.later(after, lambda: self._broken(connection))

    def _broken(self, connection: int) -> None:
        if connection == self.connection:
            self._drop()
            if self._call is not None:
                self._try_again()

    def _drop(self) -> None:
        connection, self.connection = self.connection, 0
        if connection:
            network, chance = self._network, self._network.loop.random
            # Behind a cut the end shows late, when nothing is acknowledged; a host between may say it at once.
            is_late = self.node.name in network.cut and chance.random() < 0.6
            after = chance.uniform(4.0, 10.0) if is_late else chance.uniform(0.0, 0.3)
            network.master.hear_hang_up(self.master_life, connection, after)

    def _try_again(self) -> None:
        self._attempt += 1
        attempt = self._attempt
        self.node.later(
            self._network.loop.random.uniform(0.0, 0.4), lambda: self._try() if attempt == self._attempt else None
        )

    def _try(self) -> None:
        master, network = self._network.master, self._network
        if self._call is None:
            return
        if not self.connection or self.master_life != master.life:
            if not master.up or master.paused or self.node.name in network.cut:
                self._drop()
                self._try_again()
                return
            self._drop()
            self.connection, self.master_life = network.number(), master.life
            self.generation += 1
        self._send()

    def _send(self) -> None:
        assert self._call is not None
        network = self._network
        self._attempt += 1
        attempt, connection, life = self._attempt, self.connection, self.master_life
        _, verb, request, parts, _ = self._call

        def respond(reply: Any, rest: Any) -> None:
            if network.is_lost(self.node.name):
                self.hear_of_break(connection, network.loop.random.uniform(0.0, 1.0))
            else:
                self.node.later(network.delay(), lambda: self._answered(attempt, connection, reply, rest))

        if network.is_lost(self.node.name):
            self.hear_of_break(connection, network.loop.random.uniform(0.0, 1.0))
        else:
            message = Message(self.node.name, connection, verb, request, parts)
            network.master.hear(life, network.delay(), message, respond)
            if network.arrives_twice():
                late = network.loop.random.uniform(0.0, 3.0)
                network.master.hear(life, late, message, lambda *_: None)
        self.node.later(network.loop.random.uniform(3.0, 6.0), lambda: self._give_up(attempt, connection))

    def _give_up(self, attempt: int, connection: int) -> None:
        if self._call is not None and attempt == self._attempt:
            self._broken(connection)

    def _answered(self, attempt: int, connection: int, reply: Any, rest: Any) -> None:
        if self._call is None or attempt != self._attempt or connection != self.connection:
            return
        answer, self._call = self._call[4], None
        if isinstance(rest, Exception):
            answer(error=rest)
        else:
            answer((reply, rest))


class Call:
    """What a routine yields to ask the master; gives (reply, parts), or raises the master's refusal."""

    def __init__(self, channel: Channel, verb: str, request: Any, parts: Any = ()) -> None:
        self._asked = (channel, verb, request, parts)

    def begin(self, node: Node, answer: Callable[..., None]) -> None:
        """Ask."""
        channel, verb, request, parts = self._asked
        channel.call(verb, request, parts, answer)
