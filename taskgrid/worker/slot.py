"""A slot: one child at a time, what it was sent, and what is done when it stalls, overruns or dies.

A slot belongs to the pool's thread. It decides about its own child only; works that it gives up go
back to the pool (`taken`: they can run elsewhere at once; `kept`: they must wait for something).
Taking tasks back is done in two steps, a tick apart; see `cut` for why exactly one party runs each.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, NamedTuple, Protocol

import structlog

from taskgrid.model import JobNumber
from taskgrid.worker.assigned import Assigned
from taskgrid.worker.cut import Cut, Give
from taskgrid.worker.death import (
    Blamed,
    Killing,
    Reason,
    blame,
    died_of_a_merge,
    over_limit,
    over_memory,
    suspects,
    system_oom_kills,
)
from taskgrid.worker.frames import (
    Nonsense,
    OldCode,
    Outcomes,
    Ready,
    Resume,
    Setup,
    Stopped,
    ToAgent,
    Unfit,
)
from taskgrid.worker.held import Ended, Lease, Work, halved
from taskgrid.worker.ledger import Ledger
from taskgrid.worker.process import Child, Death

STALLED_AFTER: Final = 0.1
"""Seconds: a task that runs longer must not hold up those behind it."""
DEPTH: Final = 2
"""Works per slot: one that runs, one so that the child never waits."""
_GOODBYE: Final = 2.0
"""Seconds a child may take to end by itself."""

log = structlog.get_logger()


class Desk(Protocol):
    """What a slot tells its pool."""

    def taken(self, works: list[Work]) -> None:
        """Hear of works that stood behind a long task."""

    def kept(self, works: list[Work]) -> None:
        """Hear of works that must run later, or again."""

    def outdated(self) -> None:
        """Hear that children may have imported code that was edited since."""

    def child_ended(self, slot: Slot, child: Child, trouble: str) -> None:
        """Hear that the child has ended and can be closed, and what went wrong if it got nothing done."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for all slots of a worker."""

    worker: str
    memory_limit: int | None
    max_tasks: int | None
    unmerged: set[JobNumber] = field(default_factory=set)
    """Jobs of which this worker merges no values any more: a task process has died of it."""


class Running(NamedTuple):
    """The task that a child runs, and since when, in monotonic nanoseconds."""

    ordinal: int
    since: int
    lease: Lease
    task: int


class Slot:
    """One of the things that a worker runs tasks in."""

    def __init__(self, number: int, terms: Terms, ledger: Ledger, desk: Desk) -> None:
        self.number = number
        self.child: Child | None = None
        self._terms = terms
        self._ledger = ledger
        self._desk = desk
        self._clear()

    def _clear(self) -> None:
        self._assigned = Assigned()
        self._is_ready = False
        self._oom_kills = 0
        self._is_retiring = False
        self._did_something = False
        self._trouble = ""
        self._killing: Killing | None = None
        self._leave_by: float | None = None
        self._cut: Cut | None = None
        self._was_slow = False
        self.is_slow = False  # the running task has stood still for a while

    # ------------------------------------------------------------ what the pool asks

    @property
    def is_busy(self) -> bool:
        """Say whether tasks are assigned to it."""
        return bool(self._assigned.placed)

    @property
    def needs_ticks(self) -> bool:
        """Say whether something could happen here that no descriptor tells."""
        return self.child is not None and (
            self.is_busy or not self._is_ready or self._leave_by is not None or self.child.has_hung_up
        )

    @property
    def room(self) -> int:
        """How many more works it takes now."""
        if self.child is None or not self._is_ready or self._is_retiring or self._cut or self._killing:
            return 0
        depth = 1 if self._was_slow or self.is_slow else DEPTH
        return max(0, depth - len(self._assigned.placed))

    @property
    def is_free(self) -> bool:
        """Say whether it could begin a work at once."""
        return self.room > 0 and not self.is_busy

    # ------------------------------------------------------------ what the pool does

    def start(self, setup: Setup) -> None:
        """Start a child; it is ready some tenths of a second later."""
        self._clear()
        self._oom_kills = system_oom_kills()
        self.child = Child(setup)
        log.debug("child.started", slot=self.number, pid=self.child.pid)

    def give(self, work: Work) -> Work | None:
        """Send a work to the child; return what goes beyond the number of tasks it may run, or all if it has grown."""
        if not self.is_busy and over_memory(work.lease, self._living, self._terms.memory_limit):
            self.kill(Killing(Reason.RETIRED))  # what ended tasks left behind must not be the next one's fault
            return work
        rest = None
        if self._terms.max_tasks is not None:
            budget = self._terms.max_tasks - self._assigned.next
            if work.count > budget:
                work, rest = work.split(budget)
            self._is_retiring = work.count >= budget
        self._living.send(work.as_assignment(self._assigned.place(work), self._terms.unmerged), work.payload)
        return rest

    @property
    def _living(self) -> Child:
        if self.child is None:
            raise RuntimeError(f"slot {self.number} has no child")
        return self.child

    def retire(self) -> None:
        """Let the child end after what it was sent, and take no more."""
        self._is_retiring = True
        self._leave_if_done()

    def kill(self, killing: Killing) -> None:
        """Kill the child's process tree; its end is noticed later, and the first reason counts."""
        if self.child is not None and self._killing is None:
            self._killing = killing
            self.child.kill()

    def _leave_if_done(self) -> None:
        if self._is_retiring and not self.is_busy and self.child is not None and self._leave_by is None:
            self._leave_by = time.monotonic() + _GOODBYE
            self.child.say_goodbye()

    # ------------------------------------------------------------ what the child says

    def hear(self) -> bool:
        """Read from the child's channel; False when there was nothing to read."""
        child = self._living
        try:
            frames = child.receive()
            if frames is None:
                return False
            for header, body in frames:
                self._hear(header, body)
        except Nonsense as error:
            self._trouble = str(error)
            self.kill(Killing(Reason.BROKEN))
        self._leave_if_done()
        return True

    def _hear(self, header: ToAgent, body: bytes) -> None:
        match header:
            case Ready():
                self._is_ready = True
            case Unfit():
                self._trouble = header.message
            case OldCode():
                self.kill(Killing(Reason.OUTDATED))
            case Outcomes():
                self._ended(header, body)
            case Stopped():
                self._stopped(header.at)

    def _ended(self, outcomes: Outcomes, lines: bytes) -> None:
        lease, runs = self._assigned.end(outcomes.first, outcomes.count)
        self._did_something = True
        self._ledger.add(Ended.of(lease, runs, outcomes, lines))
        self._was_slow, self.is_slow = self.is_slow, False

    def _stopped(self, at: int) -> None:
        if self._cut is None:
            raise Nonsense("a task process said that it stopped at a limit, but it had none")
        self._cut.stopped(self._assigned, at)
        self._cut = None
        self._living.send(Resume())

    # ------------------------------------------------------------ watching

    def tick(self, now: float) -> None:
        """Look at the child: has it ended, does its task stand still, is it over a limit?"""
        child = self.child
        if child is None:
            return
        if child.has_exited():
            self.bury()
            return
        if self._cut is not None:
            self._cut.settle(self._assigned, now)
        if (running := self._running()) is not None:
            self._watch_task(child, running, now)
        elif child.words.running() is None:
            self._watch_idle(child, now)

    def _running(self) -> Running | None:
        word = self.child.words.running() if self.child is not None else None
        found = self._assigned.find(word[0]) if word is not None else None
        return None if word is None or found is None else Running(*word, found[0].lease, found[1])

    def _watch_idle(self, child: Child, now: float) -> None:
        if self._leave_by is not None and now >= self._leave_by:
            self.kill(Killing(Reason.RETIRED))
        elif child.has_hung_up and self._leave_by is None:
            self._leave_by = now + _GOODBYE
        elif self._must_hold(now):
            self.cut(self._desk.kept, now)

    def _watch_task(self, child: Child, running: Running, now: float) -> None:
        ran = now - running.since / 1e9
        if (reason := over_limit(running.lease, ran, child, self._terms.memory_limit)) is not None:
            self.kill(Killing(reason, None if child.words.merging() else running.ordinal))
        elif running.lease.options.alone and now >= running.lease.trusted_until:
            self.kill(Killing(Reason.UNTRUSTED))
        elif self._must_hold(now):
            self.cut(self._desk.kept, now)
        elif ran >= STALLED_AFTER:
            self.is_slow = True
            self.cut(self._desk.taken, now)

    @property
    def deadline(self) -> float:
        """The monotonic instant of the running task's time limit; infinity without one."""
        if (running := self._running()) is None or (limit := running.lease.options.time_limit) is None:
            return inf
        return running.since / 1e9 + limit.total_seconds()

    def _must_hold(self, now: float) -> bool:
        """Say whether nothing new may begin: a lease may have ended, or too many outcomes wait."""
        return self._ledger.is_full or any(work.lease.trusted_until <= now for work in self._assigned.works())

    # ------------------------------------------------------------ taking back

    def cut(self, give: Give, now: float) -> None:
        """Begin to take back what the child has not begun; `give` gets it."""
        words = self._living.words
        if self._cut is None and self._killing is None and self._assigned.holds_beyond(words.unbegun()):
            self._cut = Cut(words, give, now)

    def drop(self, now: float) -> None:
        """Let go of what the ledger does not hold any more; if that runs now, it is killed."""
        running = self._running()
        if running is not None and not self._ledger.covers(running.lease, running.task):
            self.kill(Killing(Reason.DROPPED))
        elif (works := self._assigned.rests()) and self._ledger.still_wanted(works) != works:
            self.cut(self._desk.kept, now)

    # ------------------------------------------------------------ the child's end

    def bury(self) -> None:
        """Take the last words of a child that has ended, blame the task that is to blame, keep the others."""
        child = self._living
        while self.hear():
            pass
        while child.read_output():
            pass
        death = child.bury()
        begun = suspects(self._assigned, child.words, self._killing)
        if died_of_a_merge(child.words, self._killing) and (running := self._running()):
            self._terms.unmerged.add(running.lease.job)
        blamed = self._blamed(child, death, begun)
        works = halved(self._assigned.remove_all(but=blamed), len(begun))
        why = self._killing.reason.name if self._killing else death.sentence
        log.debug("child.ended", slot=self.number, pid=child.pid, why=why, trouble=self._trouble)
        trouble = self._why_nothing_was_done(child, death, works)
        self.child = None
        if self._killing is not None and self._killing.reason is Reason.OUTDATED:
            works = [replace(work, last_try=True) for work in works]
            self._desk.outdated()
        self._desk.kept(works)
        self._desk.child_ended(self, child, trouble)

    def _blamed(self, child: Child, death: Death, begun: list[int]) -> int | None:
        """Report the only suspect as failed if it is to blame; return its ordinal."""
        self._did_something = self._did_something or bool(begun) or child.words.merging()
        found = self._assigned.find(begun[0]) if len(begun) == 1 else None
        oom = system_oom_kills() > self._oom_kills
        if found is None or (cause := blame(begun[0], self._killing, death, oom=oom)) is None:
            return None
        seconds = max(0.0, time.monotonic() - child.words.last_began() / 1e9)
        blamed = Blamed(*found, cause, seconds, self._terms.worker, child.tail.text(), self._trouble)
        log.info("child.died", slot=self.number, pid=child.pid, job=found[0].lease.job, task=found[1], cause=cause)
        self._ledger.add(blamed.outcome(death))
        return begun[0]

    def _why_nothing_was_done(self, child: Child, death: Death, works: list[Work]) -> str:
        """Return what is wrong with children, if this one came to nothing by itself; else an empty string."""
        on_purpose = self._killing is not None and self._killing.reason is not Reason.BROKEN
        if self._did_something or on_purpose or (self._is_ready and not works):
            return ""
        return self._trouble or f"a task process {death.sentence} before it did anything\n{child.tail.text()}".strip()
