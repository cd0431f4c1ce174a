"""The pool: one thread that owns all slots and their children, and shares works out among them.

Other threads leave commands and are never waited for. The loop sleeps until a child says, prints or
ends something, or a command comes; while tasks run it also looks at their words at every tick. It
never parses a payload or an outcome, and knows nothing of the master.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from taskgrid.errors import TaskGridError
from taskgrid.worker.cut import TICK
from taskgrid.worker.death import Killing, Reason
from taskgrid.worker.demand import Demand
from taskgrid.worker.frames import Setup
from taskgrid.worker.held import Work
from taskgrid.worker.ledger import Ledger
from taskgrid.worker.process import Child
from taskgrid.worker.slot import Slot, Terms
from taskgrid.worker.watch import Watch

_BARREN: Final = 3
"""Children in a row that came to nothing before the worker gives up."""
_FIRST_WAIT: Final = 0.2
_MOST_WAIT: Final = 5.0
"""Seconds before another child is started after one that came to nothing, doubled each time."""

log = structlog.get_logger()


class Pool:
    """The slots of a worker, run by a thread of their own."""

    def __init__(
        self, slots: int, terms: Terms, setup: Setup, ledger: Ledger, on_end: Callable[[TaskGridError | None], None]
    ) -> None:
        self._slots = [Slot(number, terms, ledger, self) for number in range(slots)]
        self._setup = setup
        self._ledger = ledger
        self._on_end = on_end
        self._waiting: deque[Work] = deque()
        self._commands: deque[Callable[[], None]] = deque()
        self._watch = Watch()
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)
        self.demand = Demand()
        self._trouble: TaskGridError | None = None
        self._barren = 0
        self._start_at = 0.0
        self._ticked_at = 0.0
        self._is_ending = False

    # ------------------------------------------------------------ for other threads

    def start(self) -> None:
        """Start the thread and, from it, the children."""
        self._thread.start()

    def join(self, within: float) -> bool:
        """Wait until all children have ended, after `drain` or `stop`; say whether they have."""
        self._thread.join(within)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Let go of the pool's own descriptors, when no other thread will command it any more."""
        self._watch.close()

    def accept(self, works: list[Work]) -> None:
        """Run these works; from now on they count against the room there is."""
        self.demand.announce(len(works))
        self._command(partial(self._accept, works))

    def drop(self) -> None:
        """Let go of what the ledger does not hold any more; what runs of it is killed."""
        self._command(self._drop)

    def replace(self) -> None:
        """Replace all children, each when it has run what it was sent; give the rest back."""
        self._command(self._replace)

    def drain(self) -> None:
        """Finish the running tasks, give everything else back, let the children go."""
        self._command(self._drain)

    def stop(self) -> None:
        """Kill all children and give everything back."""
        self._command(self._stop)

    def _command(self, command: Callable[[], None]) -> None:
        self._commands.append(command)
        self._watch.ring()

    # ------------------------------------------------------------ the loop

    def _run(self) -> None:
        try:
            while not (self._is_ending and all(slot.child is None for slot in self._slots)):
                self._turn()
        except Exception as error:  # the thread's end is told, and every child's with it
            log.exception("pool.failed")
            self._trouble = TaskGridError("the worker's pool failed", why=repr(error), hint="Please report this.")
        finally:
            self._is_ending = True
            self._bury_all()
            self._on_end(self._trouble)

    def _turn(self) -> None:
        self._start_children()
        self._dispatch()
        for slot in self._slots:
            if slot.child is not None:
                self._watch.update(slot.child)
        self._publish_demand()
        due = self._due()
        self._watch.sleep(None if due is None else max(0.0, due - time.monotonic()))
        while self._commands:
            self._commands.popleft()()
        self._tick_if_due(time.monotonic())

    def _due(self) -> float | None:
        """Return when to look next, a monotonic instant; None when nothing is under way that no descriptor tells."""
        dues = [min(self._ticked_at + TICK, slot.deadline) for slot in self._slots if slot.needs_ticks]
        if not self._is_ending and any(slot.child is None for slot in self._slots):
            dues.append(self._start_at)
        if self._waiting:
            dues.append(self._ticked_at + TICK)
        return min(dues, default=None)

    def _tick_if_due(self, now: float) -> None:
        due = self._due()
        if due is None or now < due:
            return
        self._ticked_at = now
        for slot in self._slots:
            slot.tick(now)

    def _bury_all(self) -> None:
        for slot in self._slots:
            if slot.child is not None:
                slot.child.bury()
                slot.child.close()

    # ------------------------------------------------------------ children

    def _start_children(self) -> None:
        if self._is_ending or time.monotonic() < self._start_at:
            return
        for slot in self._slots:
            if slot.child is None:
                slot.start(self._setup)
                self._watch_child(slot)

    def _watch_child(self, slot: Slot) -> None:
        if (child := slot.child) is not None:
            self._watch.add(
                child,
                heard=partial(self._on_channel, slot, child),
                printed=partial(self._on_output, slot, child),
                exited=partial(self._on_exit, slot, child),
            )

    def _on_channel(self, slot: Slot, child: Child) -> None:
        if slot.child is not child:
            return
        child.flush()
        slot.hear()
        if child.has_hung_up:
            self._watch.remove_channel(child)

    def _on_output(self, slot: Slot, child: Child) -> None:
        if slot.child is not child:
            return
        data = child.read_output()
        if data == b"":
            self._watch.remove_output(child)
        elif data:
            log.debug("child.printed", slot=slot.number, pid=child.pid, text=data.decode(errors="replace"))

    def _on_exit(self, slot: Slot, child: Child) -> None:
        if slot.child is child and child.has_exited():
            slot.bury()

    def outdated(self) -> None:
        """Replace all children, so that what comes next runs with the files as they are now."""
        for slot in self._slots:
            slot.retire()

    def child_ended(self, _: Slot, child: Child, trouble: str) -> None:
        """Close the child, and start the next one: later if this one came to nothing, never after too many such."""
        self._watch.remove(child)
        child.close()
        if not trouble:
            self._barren = 0
            return
        self._barren += 1
        wait = min(_MOST_WAIT, _FIRST_WAIT * 2.0 ** (self._barren - 1))
        self._start_at = time.monotonic() + wait
        log.warning("child.failed", in_a_row=self._barren, next_in=wait, why=trouble)
        if self._barren == _BARREN and not self._is_ending:
            self._trouble = _no_child_works(trouble)
            self._stop()

    # ------------------------------------------------------------ sharing works out

    def taken(self, works: list[Work]) -> None:
        """Share what stood behind a long task among the free slots; give the rest back."""
        free = sum(slot.is_free for slot in self._slots) - len(self._waiting)
        if self._is_ending or free <= 0:
            self._ledger.give_back(works)
            return
        pieces = _share(works, free)
        self._waiting.extend(pieces[:free])
        self._ledger.give_back(pieces[free:])

    def kept(self, works: list[Work]) -> None:
        """Run works later, or again, before all others; give them back when the pool ends."""
        if self._is_ending:
            self._ledger.give_back(works)
        else:
            self._waiting.extendleft(reversed(works))

    def _dispatch(self) -> None:
        if not self._waiting or self._ledger.is_full:
            return
        now = time.monotonic()
        works = self._ledger.still_wanted(self._waiting)
        self._waiting.clear()
        for work in works:
            slot = self._slot_for(work, now)
            rest = work if slot is None else slot.give(work)
            if rest is not None:
                self._waiting.append(rest)

    def _slot_for(self, work: Work, now: float) -> Slot | None:
        if work.lease.trusted_until <= now:
            return None
        slot = max(self._slots, key=lambda slot: (slot.is_free, slot.room))
        return slot if slot.room > 0 else None

    def _publish_demand(self) -> None:
        if self._is_ending or self._ledger.is_full:
            self.demand.publish(0, 0)
            return
        room, idle = sum(slot.room for slot in self._slots), sum(slot.is_free for slot in self._slots)
        self.demand.publish(room - len(self._waiting), idle - len(self._waiting))

    # ------------------------------------------------------------ commands

    def _accept(self, works: list[Work]) -> None:
        self.demand.arrived(len(works))
        if self._is_ending:
            self._ledger.give_back(works)
        else:
            self._waiting.extend(works)

    def _drop(self) -> None:
        for slot in self._slots:
            slot.drop(time.monotonic())

    def _replace(self) -> None:
        self._give_waiting_back()
        self.outdated()

    def _drain(self) -> None:
        self._is_ending = True
        self._give_waiting_back()
        now = time.monotonic()
        for slot in self._slots:
            if slot.child is not None:
                slot.cut(self._ledger.give_back, now)
                slot.retire()

    def _stop(self) -> None:
        self._is_ending = True
        self._give_waiting_back()
        for slot in self._slots:
            slot.kill(Killing(Reason.RETIRED))

    def _give_waiting_back(self) -> None:
        self._ledger.give_back(self._waiting)
        self._waiting.clear()


def _share(works: list[Work], parts: int) -> list[Work]:
    """Split the largest works until there are that many, as far as they can be split."""
    pieces = list(works)
    while len(pieces) < parts:
        largest = max(range(len(pieces)), key=lambda at: pieces[at].count)
        if pieces[largest].count < 2:
            break
        pieces[largest : largest + 1] = pieces[largest].split(pieces[largest].count // 2)
    return pieces


def _no_child_works(trouble: str) -> TaskGridError:
    return TaskGridError(
        f"{_BARREN} task processes in a row ended before they did anything",
        why=trouble,
        hint="Mend what the last one said, then start the worker again; its tasks were given back.",
    )
