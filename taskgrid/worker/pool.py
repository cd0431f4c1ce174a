"""The pool: one thread that owns all slots and their children, and shares works out among them.

Other threads leave commands and are never waited for; new work, which is urgent, a thread may share out
itself while the pool's own sleeps (`_hand` is held by whoever touches the slots). The loop sleeps until a
child says, prints or ends something, or a command comes; while tasks run it also looks at their words at
every tick. It never parses a payload or an outcome, and knows nothing of the master.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf

import structlog

from taskgrid.errors import TaskGridError
from taskgrid.worker.backlog import Backlog
from taskgrid.worker.births import Births, no_child_works
from taskgrid.worker.cut import TICK
from taskgrid.worker.death import Killing, Reason
from taskgrid.worker.demand import Demand
from taskgrid.worker.frames import Setup
from taskgrid.worker.held import Work
from taskgrid.worker.ledger import Ledger
from taskgrid.worker.process import Child
from taskgrid.worker.slot import Slot, Terms
from taskgrid.worker.watch import Rest, Watch

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
        self._backlog = Backlog(self._slots, ledger)
        self._commands: deque[Callable[[], None]] = deque()
        self._watch = Watch()
        self._hand = threading.Lock()
        self._rest = Rest()
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)
        self.demand = Demand()
        self._trouble: TaskGridError | None = None
        self._births = Births()
        self._ticked_at = self._look_at = 0.0
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
        """Run these works; from now on they count against the room there is.

        They reach a task process before this returns, if the pool's thread sleeps: waking it would take
        longer than all else on their way.
        """
        if not self._hand.acquire(blocking=False):
            self.demand.announce(len(works))
            self._command(partial(self._accept, works, announced=len(works)))
            return
        try:
            self._obey()  # what was commanded before is done before: to replace the children, for one
            self._accept(works)
            self._share_out()
            if self._rest.is_deep(time.monotonic()):
                self._watch.ring()
        except Exception as error:  # noqa: BLE001  # a defect ends the pool, not the thread that met it
            self._command(partial(_raise, error))
        finally:
            self._hand.release()

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
            with self._hand:
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
        self._share_out()
        heard = self._sleep()
        for hear in heard:
            hear()
        self._obey()
        self._tick_if_due(time.monotonic())

    def _obey(self) -> None:
        while self._commands:
            self._commands.popleft()()

    def _share_out(self) -> None:
        self._backlog.hand_out(time.monotonic())
        self._backlog.give_back_what_is_stuck()
        for slot in self._slots:
            if slot.child is not None:
                self._watch.update(slot.child)
        self._publish_demand()

    def _sleep(self) -> list[Callable[[], None]]:
        """Let go of the slots until something happens."""
        now, due = time.monotonic(), self._due()
        until = self._rest.begin(now, due, busy=any(slot.is_busy for slot in self._slots))
        self._look_at = inf if due is None else due
        self._hand.release()
        try:
            return self._watch.sleep(None if until is None else max(0.0, until - now))
        finally:
            self._hand.acquire()

    def _due(self) -> float | None:
        """Return when to look next, a monotonic instant; None when nothing is under way that no descriptor tells."""
        dues = [min(self._ticked_at + TICK, slot.deadline) for slot in self._slots if slot.needs_ticks]
        if not self._is_ending and any(slot.child is None for slot in self._slots):
            dues.append(self._births.next_at)
        if len(self._backlog):
            dues.append(self._ticked_at + TICK)
        return min(dues, default=None)

    def _tick_if_due(self, now: float) -> None:
        """Look at every slot if that was due; what became due in this turn is, in the next."""
        if now < self._look_at:
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
        if self._is_ending or time.monotonic() < self._births.next_at:
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
        if self._births.came_to(trouble) and not self._is_ending:
            self._trouble = no_child_works(trouble)
            self._stop()

    # ------------------------------------------------------------ sharing works out

    def taken(self, works: list[Work]) -> None:
        """Share what stood behind a long task among the free slots; give the rest back."""
        if self._is_ending:
            self._ledger.give_back(works)
        else:
            self._backlog.spread(works)

    def kept(self, works: list[Work]) -> None:
        """Run works later, or again, before all others; give them back when the pool ends."""
        if self._is_ending:
            self._ledger.give_back(works)
        else:
            self._backlog.put_first(works)

    def _publish_demand(self) -> None:
        takes_none = self._is_ending or self._ledger.is_full
        self.demand.publish(*((0, 0) if takes_none else self._backlog.room()))

    # ------------------------------------------------------------ commands

    def _accept(self, works: list[Work], *, announced: int = 0) -> None:
        self.demand.arrived(announced)
        if self._is_ending:
            self._ledger.give_back(works)
        else:
            self._backlog.put_last(works)

    def _drop(self) -> None:
        for slot in self._slots:
            slot.drop(time.monotonic())

    def _replace(self) -> None:
        self._backlog.give_back()
        self.outdated()

    def _drain(self) -> None:
        self._is_ending = True
        self._backlog.give_back()
        now = time.monotonic()
        for slot in self._slots:
            if slot.child is not None:
                slot.cut(self._ledger.give_back, now)
                slot.retire()

    def _stop(self) -> None:
        self._is_ending = True
        self._backlog.give_back()
        for slot in self._slots:
            slot.kill(Killing(Reason.RETIRED))


def _raise(error: Exception) -> None:
    raise error
