"""Simulated clients: the real upload and cursor, driven a call at a time.

The client's own code blocks in a call. Here a call without an answer at hand is *parked*: it is
given up, asked of the simulated master, and done again with the answer. That is harmless because
both upload and cursor change only with an answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from taskgrid.client import results
from taskgrid.client.reduced import Reduced
from taskgrid.client.upload import Chunk, Upload
from taskgrid.errors import Busy, ChunkRefused, TaskGridError, UnknownJob
from taskgrid.model import JobId, JobNumber, JobSpec, Reduce, TaskOptions
from taskgrid.transport.protocol import Cursor, FetchRequest, KeepRequest, Order, Selector, SelectRequest

from .loop import Loop, Node, Pause, Routine
from .network import Call, Channel, Network
from .worker import FUNCTION, LONG_POLL


class Parked(Exception):
    """A call that has to be asked of the master first."""

    def __init__(self, request: Any, parts: Any) -> None:
        super().__init__("parked")
        self.request = request
        self.parts = parts


class Desk:
    """Stands in for a link and its proxy: one answer, and the next call is parked."""

    def __init__(self, answer: Any = None) -> None:
        self._answer = answer

    def submit(self, request: Any, parts: Any) -> Any:
        """Answer, or park."""
        answer, self._answer = self._answer, None
        if answer is None:
            raise Parked(request, parts)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def fetch(self, request: Any) -> Any:
        """Answer, or park."""
        return self.submit(request, ())

    def take_back(self, begun: Any) -> None:
        """Hear that a reader left early: it has begun nothing here."""

    @contextmanager
    def results(self) -> Iterator[Desk]:
        """Lend itself."""
        yield self


@dataclass(frozen=True)
class Plan:
    """What a client is going to submit."""

    name: str
    items: tuple[bytes, ...]
    cuts: tuple[int, ...]
    """Items per chunk."""
    options: TaskOptions
    key: str | None
    grace: Any
    reduce: Reduce | None = None


class Client(Node):
    """Submits one job and reads all its outcomes, in both orders."""

    def __init__(self, loop: Loop, network: Network, plan: Plan) -> None:
        super().__init__(loop, plan.name)
        self.plan = plan
        self.done = False
        self.lost = ""
        """Why it could not go on: its job, or a part of it, was lost with a disk."""
        self._network = network
        self._id = JobId(f"{loop.random.getrandbits(128):032x}")
        self.upload = self._new_upload()

    def start(self) -> None:
        """Begin, or begin again after a crash: without a key it only reads what it submitted."""
        if self.up or self.done:
            return
        self.begin_life()
        self._left = 0
        self._reading = False
        self._uploaded = False
        self.upload = self._new_upload()
        self.spawn(self._live())
        self.spawn(self._keep())

    def _new_upload(self) -> Upload:
        plan = self.plan
        if plan.key is not None:
            self._id = JobId(f"{self.loop.random.getrandbits(128):032x}")
        spec = JobSpec(
            id=self._id,
            function=FUNCTION,
            options=plan.options,
            owner=self.name,
            key=plan.key,
            client_grace=plan.grace,
            reduce=plan.reduce,
        )
        return Upload(spec)

    def _live(self) -> Routine:
        try:
            yield from self._submit()
        except ChunkRefused as error:
            self.loop.note("refused", self.name, str(error))
            if not error.fields.get("sealed"):
                self._give_up(str(error))
                return
        except UnknownJob as error:
            self._give_up(str(error))
            return
        self._uploaded = True
        for order in (Order.ARRIVAL, Order.INDEX):
            self._left += 1
            self.spawn(self._fetch(order))

    def _give_up(self, why: str) -> None:
        if not self.done:
            self.lost, self.done = why, True
            self.loop.note("gave-up", self.name, self.upload.job, why)

    def _submit(self) -> Routine:
        """Send all chunks; those of a client that comes back repeat what it sent before."""
        channel = Channel(self, self._network)
        at = 0
        for number, count in enumerate(self.plan.cuts):
            chunk = Chunk(b"\n".join(self.plan.items[at : at + count]), count)
            last = number == len(self.plan.cuts) - 1
            yield from self._send(channel, chunk, seal=last)
            own = self.upload.job == self._id
            at += count
            # A job that its key named may be whole with less: somebody cancelled it.
            self.loop.note("accepted", self.name, self.upload.job, at if own else min(at, self.upload.accepted))
            yield Pause(self.loop.random.choice((0.0, 0.05, 0.5)))

    def _send(self, channel: Channel, chunk: Chunk, *, seal: bool) -> Routine:
        answer: Any = None
        while True:
            try:
                self.upload.send(Desk(answer), chunk, seal=seal)  # type: ignore[arg-type]  # a proxy's one verb
            except Parked as parked:
                try:
                    answer = yield Call(channel, "submit", parked.request, parked.parts)
                except Busy:
                    yield Pause(1.0)  # its user tries again
                except TaskGridError as error:
                    answer = error
            else:
                return

    def _keep(self) -> Routine:
        channel = Channel(self, self._network)
        while not self._uploaded and not self.done:
            yield Pause(1.0)
            if self.upload.number is not None:
                yield Call(channel, "keep", KeepRequest(jobs=(self.upload.job,)))

    def _fetch(self, order: Order) -> Routine:
        channel = Channel(self, self._network)
        reader = Reader(self, order)
        request = FetchRequest(job=self.upload.job, order=order)
        terms = {"wait": LONG_POLL, "limit": self.loop.random.choice((1, 1 << 20))}
        while True:
            try:
                answer = yield Call(channel, "fetch", request.model_copy(update=terms))
            except TaskGridError as error:
                self._give_up(str(error))
                return
            following = reader.take(answer)
            if following is None:
                break
            request = following
        self.loop.note("read", self.name, self.upload.job, order)
        if reader.merged:
            self.loop.note("merged", self.name, self.upload.job, tuple(reader.merged._tree.partial() or ()))
        self._left -= 1
        self.done = self.done or not self._left


class Indices:
    """Reads values as lists of the indices of their tasks."""

    def decode_value(self, line: bytes) -> list[int]:
        """Read one, merged or not."""
        value: list[Any] = json.loads(line)
        return value[-1:] if value[0] == "did" else value

    def decode_values(self, lines: bytes) -> list[list[int]]:
        """Read several."""
        return [self.decode_value(line) for line in lines.split(b"\n")]

    def encode_call(self, args: Any, kwargs: Any) -> bytes:
        """Write nothing: a reader has no calls."""
        raise NotImplementedError

    def encode_items(self, items: Any, *, first: int = 0, star: bool = False) -> list[bytes]:
        """Likewise."""
        raise NotImplementedError


def _all_of(parts: Sequence[list[int]]) -> list[int]:
    return [index for part in parts for index in part]


class Reader:
    """Where one iteration stands: the real cursor, and the real memory of what was given."""

    def __init__(self, client: Client, order: Order) -> None:
        self._client = client
        self._order = order
        self._at = Cursor()
        self._given = results._Given()
        self._expected = 0
        self.merged: Reduced | None = None
        """What the values come to, where jobs merge them."""
        if client.plan.reduce and order is Order.ARRIVAL:
            link: Any = None  # it is asked for nothing: what it enters is read here
            number = client.upload.number or JobNumber(0)
            self.merged = Reduced(results.Source(link, client.upload.job, number, Indices()), _all_of)

    def take(self, answer: Any) -> FetchRequest | None:
        """Give what a reply holds; return what to ask next, None if that was all."""
        replies = results.replies(Desk(answer), self._client.upload.job, self._order, cursor=self._at)  # type: ignore[arg-type]  # a link's one method
        reply, parts = next(replies)
        self._given.begins(reply)
        if self.merged:
            self.merged._enter_all(reply, parts)
        for row, part in zip(reply.rows, parts, strict=True):
            lines = [None] * row.count if row.cancelled else part.split(b"\n")
            for index, line in enumerate(lines, row.first):
                self._give(index, line)
            self._given.add(row)
        self._at = reply.cursor
        try:
            next(replies)
        except Parked as parked:
            return parked.request
        except StopIteration:
            return None
        raise AssertionError("a reply was given twice")

    def _give(self, index: int, line: bytes | None) -> None:
        if self._order is Order.INDEX:
            if index < self._expected:
                return
            self._expected = index + 1
        elif self._given.before(index):
            return
        self._client.loop.note("given", self._client.name, self._client.upload.job, self._order, index, line)


class Operator(Node):
    """Cancels and retries tasks of whoever's jobs, while it lives."""

    def __init__(self, loop: Loop, network: Network, clients: list[Client], verbs: list[str]) -> None:
        super().__init__(loop, "operator")
        self._network = network
        self._clients = clients
        self._verbs = verbs

    def start(self) -> None:
        """Begin."""
        self.begin_life()
        self.spawn(self._meddle())

    def _meddle(self) -> Routine:
        channel, chance = Channel(self, self._network), self.loop.random
        while True:
            yield Pause(chance.uniform(0.5, 5.0))
            client, verb = chance.choice(self._clients), chance.choice(self._verbs)
            start = chance.randrange(len(client.plan.items))
            runs = ((start, start + chance.randint(1, 4)),) if chance.random() < 0.75 else ()
            selector = Selector(job=client.upload.job, runs=runs)
            request = SelectRequest(selectors=(selector,), only_queued=chance.random() < 0.3)
            try:
                yield Call(channel, verb, request)
            except TaskGridError:
                continue


def payload(nature: str, seconds: float, *what: object) -> bytes:
    """Return a task's payload."""
    return json.dumps([nature, seconds, *what]).encode()
