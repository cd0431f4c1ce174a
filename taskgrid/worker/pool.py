"""The pool: one thread that owns all slots and their children, and shares works out among them.

Other threads leave commands and are never waited for. The loop sleeps until a child says, prints or
ends something, or a command comes; while tasks run it also looks at their words at every tick. It
never parses a payload or an outcome, and knows nothing of the master.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from taskgrid.errors import TaskGridError
from taskgrid.worker.death import Killing, Reason
from taskgrid.worker.frames import Setup
from taskgrid.worker.held import Work
from taskgrid.worker.ledger import Ledger
from taskgrid.worker.process import Child
from taskgrid.worker.slot import TICK, Slot, Terms

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
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)
        self._demand_changed = threading.Condition()
        self._demand = (0, 0)
        self._announced = 0
        self._trouble: TaskGridError | None = None
        self._barren = 0
        self._start_at = 0.0
        self._ticked_at = 0.0
        self._is_ending = False

    # ------------------------------------------------------------ for other threads

    def start(self) -> None:
        """Start the thread and, from it, the children."""
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
        self._thread.start()

    def join(self, within: float) -> bool:
        """Wait until all children have ended, after `drain` or `stop`; say whether they have."""
        self._thread.join(within)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Let go of the pool's own descriptors, when no other thread will command it any more."""
        os.close(self._wake)

    def accept(self, works: list[Work]) -> None:
        """Run these works; from now on they count against the room there is."""
        with self._demand_changed:
            self._announced += len(works)
            self._demand = (max(0, self._demand[0] - len(works)), max(0, self._demand[1] - len(works)))
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

    def demand(self, within: float, *, unless: threading.Event) -> tuple[int, int]:
        """Return how many works there is room for, and how many slots are idle; wait a while for any."""
        with self._demand_changed:
            self._demand_changed.wait_for(lambda: self._demand[0] > 0 or unless.is_set(), within)
            return self._demand

    def nudge(self) -> None:
        """Let who waits for demand look at its own event."""
        with self._demand_changed:
            self._demand_changed.notify_all()

    def _command(self, command: Callable[[], None]) -> None:
        self._commands.append(command)
        os.eventfd_write(self._wake, 1)

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
            self._close()
            self._on_end(self._trouble)

    def _turn(self) -> None:
        self._start_children()
        self._dispatch()
        self._watch_for_room()
        self._publish_demand()
        for key, events in self._selector.select(self._patience()):
            key.data(events)
        while self._commands:
            self._commands.popleft()()
        self._tick_if_due(time.monotonic())

    def _woken(self, _: int) -> None:
        os.eventfd_read(self._wake)

    def _due(self) -> float | None:
        """Return when to look next, a monotonic instant; None when nothing is under way that no descriptor tells."""
        dues = [min(self._ticked_at + TICK, slot.deadline) for slot in self._slots if slot.needs_ticks]
        if not self._is_ending and any(slot.child is None for slot in self._slots):
            dues.append(self._start_at)
        if self._waiting:
            dues.append(self._ticked_at + TICK)
        return min(dues, default=None)

    def _patience(self) -> float | None:
        due = self._due()
        return None if due is None else max(0.0, due - time.monotonic())

    def _tick_if_due(self, now: float) -> None:
        due = self._due()
        if due is None or now < due:
            return
        self._ticked_at = now
        for slot in self._slots:
            slot.tick(now)

    def _close(self) -> None:
        for slot in self._slots:
            if slot.child is not None:
                slot.child.bury()
                slot.child.close()
        self._selector.close()

    # ------------------------------------------------------------ children

    def _start_children(self) -> None:
        if self._is_ending or time.monotonic() < self._start_at:
            return
        for slot in self._slots:
            if slot.child is None:
                slot.start(self._setup)
                self._register(slot)

    def _register(self, slot: Slot) -> None:
        child = slot.child
        if child is None:
            return
        read = selectors.EVENT_READ
        self._selector.register(child.channel, read, partial(self._on_channel, slot, child))
        self._selector.register(child.output, read, partial(self._on_output, slot, child))
        if child.exit_descriptor is not None:
            self._selector.register(child.exit_descriptor, read, partial(self._on_exit, slot, child))

    def _forget(self, descriptor: object) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)  # type: ignore[arg-type]  # a socket or a number, both are allowed

    def _watch_for_room(self) -> None:
        """Watch for room in the channels that have something unsent, and in no others."""
        for slot in self._slots:
            if slot.child is None or slot.child.has_hung_up:
                continue
            key = self._selector.get_key(slot.child.channel)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if slot.child.has_unsent else 0)
            if events != key.events:
                self._selector.modify(slot.child.channel, events, key.data)

    def _on_channel(self, slot: Slot, child: Child, events: int) -> None:
        if slot.child is not child:
            return
        if events & selectors.EVENT_WRITE:
            child.flush()
        if events & selectors.EVENT_READ:
            slot.hear()
        if child.has_hung_up:
            self._forget(child.channel)

    def _on_output(self, slot: Slot, child: Child, _: int) -> None:
        if slot.child is not child:
            return
        data = child.read_output()
        if data == b"":
            self._forget(child.output)
        elif data:
            log.debug("child.printed", slot=slot.number, pid=child.pid, text=data.decode(errors="replace"))

    def _on_exit(self, slot: Slot, child: Child, _: int) -> None:
        if slot.child is child and child.has_exited():
            slot.bury()

    def outdated(self) -> None:
        """Replace all children, so that what comes next runs with the files as they are now."""
        for slot in self._slots:
            slot.retire()

    def child_ended(self, _: Slot, child: Child, trouble: str) -> None:
        """Close the child, and start the next one: later if this one came to nothing, never after too many such."""
        for descriptor in (child.channel, child.output, child.exit_descriptor):
            self._forget(descriptor)
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
        room, idle = sum(slot.room for slot in self._slots), sum(slot.is_free for slot in self._slots)
        with self._demand_changed:
            spoken_for = len(self._waiting) + self._announced
            demand = (max(0, room - spoken_for), max(0, idle - spoken_for))
            if self._is_ending or self._ledger.is_full:
                demand = (0, 0)
            if demand != self._demand:
                self._demand = demand
                self._demand_changed.notify_all()

    # ------------------------------------------------------------ commands

    def _accept(self, works: list[Work]) -> None:
        with self._demand_changed:
            self._announced -= len(works)
        if self._is_ending:
            self._ledger.give_back(works)
        else:
            self._waiting.extend(works)

    def _drop(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.runs_dropped():
                slot.kill(Killing(Reason.DROPPED))
            elif slot.is_busy and slot.holds_dropped():
                slot.cut(self.kept, now)

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
