"""The simulated master: the real engine, verbs and upkeep, started, served, paused and killed.

Verbs run as they are. One that waits for a commit lets the world go on inside its call, so a few are
under way at a time, as on as many threads; none begins while one that could go on has not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from taskgrid.errors import TaskGridError
from taskgrid.journal.protocol import Durability
from taskgrid.master.engine import Engine
from taskgrid.master.service import MasterService
from taskgrid.master.upkeep import Upkeep
from taskgrid.scheduler.limits import Limits
from taskgrid.settings import MasterSettings
from taskgrid.transport.protocol import Deferred, Outcome, Peer

from .disk import Died, Disk, SimulatedJournal
from .loop import Loop, Node
from .network import Message, Network, Respond

LEASE, BEAT, GRACE, RECONNECT = 6.0, 1.0, 0.5, 3.0
"""Seconds; shorter than real ones, so that more happens."""
TICK = 0.2
_MOST = 5
"""Verbs under way at a time."""


class SimulatedClock:
    """Grid time of one start: the machine's wall clock may have been set meanwhile."""

    def __init__(self, loop: Loop, offset: float) -> None:
        self._loop = loop
        self._offset = 1_000_000.0 + offset

    def now(self) -> float:
        """Return grid time."""
        return self._loop.now + self._offset


class SimulatedAttendant:
    """Answers long polls as the real one does, in simulated time."""

    def __init__(self, node: Node, engine: Engine) -> None:
        self._node = node
        self._engine = engine
        self._nudged = False

    def nudge(self) -> None:
        """Attend soon."""
        if not self._nudged:
            self._nudged = True
            self._node.later(0.0001, self._attend)

    def _attend(self) -> None:
        self._nudged = False
        try:
            seconds = self._engine.attend()
        except Died:
            return
        if seconds < 60.0:
            self._node.later(seconds + 1e-6, self.nudge)


class Master(Node):
    """The only one there is."""

    def __init__(self, loop: Loop, disk: Disk, durability: Durability) -> None:
        super().__init__(loop, "master")
        self.disk = disk
        self.network = Network(loop, self)
        self.durability = durability
        self.wall_offset = 0.0
        self._limits = Limits(lease=LEASE, reconnect=RECONNECT, reconnect_grace=GRACE)
        self._settings = MasterSettings(
            lease=timedelta(seconds=LEASE),
            beat=timedelta(seconds=BEAT),
            reconnect_grace=timedelta(seconds=GRACE),
            journal="memory",
        )

    # ------------------------------------------------------------ its life

    def start(self) -> None:
        """Replay the journal and serve."""
        if self.up:
            return
        self.begin_life()
        self._inbox: deque[tuple[Message, Respond]] = deque()
        self._returning = False
        self.journal = SimulatedJournal(self.disk, self, self.durability)
        self.loop.note("epoch", self.journal.epoch)
        self.engine = Engine(self.journal, SimulatedClock(self.loop, self.wall_offset), self._limits)
        self.engine.attendant = SimulatedAttendant(self, self.engine)  # type: ignore[assignment]  # one without a thread
        self.engine.attendant.nudge()
        self.service = MasterService(self.engine, self._settings)
        self._upkeep = Upkeep(self.engine, self._settings)
        self.later(TICK, self._tick)

    def crash(self) -> None:
        """Be killed: what was not committed may be torn."""
        if self.up:
            life = self.life
            super().crash()
            self.journal.tear()
            self.network.reset(life)

    def lose_power(self) -> None:
        """Die with the machine: what was not synced may be gone."""
        self.crash()
        disk = self.disk
        disk.cut(self.loop.random.randint(min(disk.synced, len(disk.log)), len(disk.log)))

    def stop(self) -> None:
        """Leave as on SIGTERM."""
        if not self.up or self.paused:
            return
        self.engine.hush()
        self.engine.lower_marks()
        self.journal.close()
        life = self.life
        super().crash()
        self.network.reset(life)

    def _tick(self) -> None:
        self.later(TICK, self._tick)
        before = dict(self.engine.core.leases)
        self._upkeep._tick()
        core = self.engine.core
        if core.queued != sum(job.live for job in core.jobs.values()):
            self.loop.note("error", f"{core.queued} tasks are counted, but others wait")
        lost = [token for token in before if token not in self.engine.core.leases]
        self.loop.note("tick", tuple(lost))

    # ------------------------------------------------------------ what it hears

    def hear_hang_up(self, life: int, connection: int, after: float) -> None:
        """Notice after a while that a connection is gone."""
        if life == self.life:
            self.later(after, lambda: self._hang_up(connection))

    def _hang_up(self, connection: int) -> None:
        self.loop.note("hang-up", connection)
        self.service.disconnected(_peer(connection))

    def hear(self, life: int, after: float, message: Message, respond: Respond) -> None:
        """Take a request in when it has arrived, if this is still the master it was sent to."""

        def arrive() -> None:
            self._inbox.append((message, respond))
            self._serve()

        if life == self.life:
            self.later(after, arrive)

    def _serve(self) -> None:
        journal = self.journal
        while self._inbox and len(journal.waiting) < _MOST and all(goal > journal.answered for goal in journal.waiting):
            self._handle(*self._inbox.popleft())
            if journal is not self.journal or not self.up:
                return
        if self._inbox and not self._returning:
            self._returning = True
            self.later(0.002, self._serve_again)

    def _serve_again(self) -> None:
        self._returning = False
        self._serve()

    def _handle(self, message: Message, respond: Respond) -> None:
        life, asked_at = self.life, self.loop.now
        self.loop.note("asked", message)
        method: Callable[..., Any] = getattr(self.service, message.verb)

        def answer(reply: Any, rest: Any) -> None:
            if life == self.life:  # else it was committed, and the answer died with the master
                self.loop.note("answered", message, reply, rest, asked_at)
                respond(reply, rest)

        try:
            answered = method(_peer(message.connection), message.request, tuple(message.parts))
        except TaskGridError as error:
            answer(None, error)
        except Died:
            return
        else:
            if isinstance(answered, Deferred):  # a long poll that waits for something
                answered.then(lambda outcome, _: answer(*self._told(outcome)))
            else:
                answer(*answered)

    def _told(self, outcome: Outcome) -> tuple[Any, Any]:
        if not isinstance(outcome, Exception):
            return outcome
        if not isinstance(outcome, TaskGridError):
            self.loop.note("error", repr(outcome))  # raised here it would only be logged
        return None, outcome


def _peer(connection: int) -> Peer:
    return Peer("here", frozenset(), connection)
