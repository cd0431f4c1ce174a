"""The beat: one thread that says "I am alive, these leases go on", and gives back what won't run.

It enlists the worker, again whenever its offers changed or the master does not know it any more, and
takes the held leases up after each reconnect. What the master drops it hands to ledger and pool.
"""

from __future__ import annotations

import os
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import structlog

from taskgrid import __version__
from taskgrid.errors import FunctionRefused, MasterUnreachable, NotLetIn, TaskGridError, VersionMismatch
from taskgrid.model import WorkerId
from taskgrid.transport.channel import ChannelClosed
from taskgrid.transport.manager import GridManager
from taskgrid.transport.protocol import (
    EnlistRequest,
    ExtendReply,
    ExtendRequest,
    HeldLease,
    LeaseReply,
    LeaveRequest,
    Offer,
    Recheck,
    ReleaseRequest,
)
from taskgrid.worker.held import Work
from taskgrid.worker.ledger import MARGIN, Ledger

_FIRST_BEAT: Final = 5.0
"""Seconds between beats before the master has said how many."""
_AFTER_REFUSAL: Final = 1.0
_FAREWELL: Final = 2.0
"""Seconds each for the last release and for leaving."""

log = structlog.get_logger()


class Orders(Protocol):
    """What the beat brings from the master for the rest of the worker."""

    def dropped(self) -> None:
        """Hear that the ledger does not hold some tasks any more."""

    def rechecked(self, rechecks: Sequence[Recheck]) -> None:
        """Hear that jobs wait for code that this worker did not offer."""

    def asked_to_look(self, places: Sequence[str]) -> None:
        """Hear which folders waiting jobs read: whether this worker sees them, it says by enlisting."""

    def drain(self) -> None:
        """Hear that the master wants this worker to drain."""

    def trouble(self, error: TaskGridError) -> None:
        """Hear that nothing can go on."""


class Beat:
    """Speaks for the worker."""

    def __init__(
        self,
        worker: WorkerId,
        name: str,
        slots: int,
        manager: GridManager,
        ledger: Ledger,
        *,
        offers: Callable[[], tuple[Offer, ...]],
        places: Callable[[], dict[str, str]],
        orders: Orders,
        wake: threading.Event,
    ) -> None:
        """Beat for `worker`; `offers` and `places` say what it offers and sees now.

        `wake` is set when there is something to do at once.
        """
        self._worker = worker
        self._name = name
        self._slots = slots
        self._manager = manager
        self._queue = manager.get_task_queue()
        self._ledger = ledger
        self._offers = offers
        self._places = places
        self._orders = orders
        self._wake = wake
        self._interval = _FIRST_BEAT
        self._due = 0.0
        self._generation = 0
        self._must_enlist = True
        self._is_draining = False
        self._enlisted = threading.Event()
        self._ending = threading.Event()
        self._is_of_no_use = threading.Event()
        """The thread has ended, or waits for a master that does not answer."""
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def start(self) -> None:
        """Enlist, then beat."""
        self._thread.start()

    def stop(self, within: float) -> None:
        """Give back what is to be given back, say goodbye, end, and close what was opened to the master.

        It is broken off after `within` seconds, and when the master does not answer.
        """
        self._ending.set()
        self._wake.set()
        self._is_of_no_use.wait(within)
        self._manager.close()
        self._thread.join(_FAREWELL)

    def hear_nothing(self) -> None:
        """Hear that the master does not answer the calling thread."""
        if threading.current_thread() is self._thread:
            self._is_of_no_use.set()

    def wait_enlisted(self, within: float) -> bool:
        """Wait until the master knows this worker and what it holds."""
        return self._enlisted.wait(within)

    def soon(self) -> None:
        """Beat at once."""
        self._due = 0.0
        self._wake.set()

    def is_unknown(self) -> None:
        """Hear that the master does not know this worker: enlist, and take the leases up, before all else."""
        self._enlisted.clear()
        self._must_enlist = True
        self.soon()

    def enlist_again(self) -> None:
        """Tell the master what is offered and seen now."""
        self._must_enlist = True
        self.soon()

    def enlist_now(self, within: float) -> bool:
        """Tell the master of new offers, and wait until it knows; say whether it does."""
        self._enlisted.clear()
        self.enlist_again()
        return self.wait_enlisted(within)

    def announce_drain(self) -> None:
        """Tell the master that this worker takes nothing new."""
        self._is_draining = True
        self.enlist_again()

    def asked(self, reply: LeaseReply | ExtendReply) -> None:
        """Pass on that jobs wait for other code, or for somebody who sees what they read."""
        if reply.recheck:
            self._orders.rechecked(reply.recheck)
        if reply.look_at:
            self._orders.asked_to_look(reply.look_at)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._ending.is_set():
            self._guarded(self._turn)
            self._wake.wait(max(0.0, self._due - time.monotonic()))
        self._guarded(self._leave)
        self._is_of_no_use.set()

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ChannelClosed:
            self._ending.set()
        except (NotLetIn, VersionMismatch, FunctionRefused) as error:
            self._ending.set()
            self._orders.trouble(error)
        except TaskGridError as error:
            log.warning("beat.failed", why=str(error))
            self._ending.wait(_AFTER_REFUSAL)

    def _turn(self) -> None:
        self._wake.clear()
        if self._must_enlist:
            self._enlist()
        self._release()
        if time.monotonic() >= self._due:
            self._extend()
            self._is_of_no_use.clear()

    def _enlist(self) -> None:
        self._must_enlist = False
        control = self._manager.get_control()
        request = EnlistRequest(
            worker=self._worker,
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=self._slots,
            version=__version__,
            python=platform.python_version(),
            offers=self._offers(),
            draining=self._is_draining,
            places=self._places(),
        )
        try:
            reply, _ = control.enlist(request)
            self._interval = reply.beat
            # Before control goes: a worker without a connection has a short grace.
            self._extend(look=False)  # or it would look, have news, enlist and look again without an end
        except TaskGridError:
            self._must_enlist = True
            raise
        finally:
            control.close()
        self._enlisted.set()
        log.info("worker.enlisted", worker=self._name, functions=len(request.offers), draining=self._is_draining)

    def _extend(self, *, look: bool = True) -> None:
        held = self._ledger.held()
        sent_at = time.monotonic()
        reply, _ = self._queue.extend(ExtendRequest(worker=self._worker, leases=held))
        if not reply.known:
            self.is_unknown()
            return
        again = self._queue.generation != self._generation
        self._generation = self._queue.generation
        self._due = 0.0 if again else time.monotonic() + self._interval
        self._take(reply if look else reply.model_copy(update={"look_at": ()}), held, sent_at)

    def _take(self, reply: ExtendReply, held: Iterable[HeldLease], sent_at: float) -> None:
        self._ledger.extend(held, sent_at + reply.ttl * (1 - MARGIN))
        if reply.drop:
            self._ledger.drop(reply.drop)
            self._orders.dropped()
            log.info("tasks.dropped", leases=[str(drop.token) for drop in reply.drop])
        if reply.drain:
            self._orders.drain()
        self.asked(reply)

    def _release(self, timeout: float | None = None) -> None:
        works = self._ledger.next_release()
        if not works:
            return
        try:
            request = ReleaseRequest(worker=self._worker, leases=tuple(map(_as_held, works)))
            self._queue.release(request, timeout=timeout)
        except TaskGridError:
            self._ledger.give_back(works)
            raise
        self._ledger.released(works)
        log.debug("tasks.released", tasks=sum(work.count for work in works))

    def _leave(self) -> None:
        if not self._enlisted.is_set():
            return
        self._release(timeout=_FAREWELL)
        control = self._manager.get_control()
        try:
            control.leave(LeaveRequest(worker=self._worker), timeout=_FAREWELL)
        except MasterUnreachable as error:
            log.info("worker.left", told=False, why=str(error))
        finally:
            control.close()


def _as_held(work: Work) -> HeldLease:
    return HeldLease(token=work.lease.token, job=work.lease.job, runs=work.runs)
