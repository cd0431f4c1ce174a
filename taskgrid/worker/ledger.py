"""What this worker holds and owes: its leases, outcomes to report, tasks to give back.

The one place where the worker's threads meet. The leaser enters leases, the pool adds outcomes and
gives back, the reporter and the beat take what they carry to the master and enter its answers. An
outcome leaves only by a verdict other than *later*, or when its lease is dropped; by *broken* its tasks stay,
to be given back. No I/O here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from taskgrid.model import Token, Verdict
from taskgrid.transport.protocol import Bundle, Drop, HeldLease, Judged, Parts, Report
from taskgrid.worker.held import Ended, Lease, Work

MARGIN: Final = 1 / 6
"""Of a lease's time: the worker trusts it that much less long than the master does."""
_BATCH_BYTES: Final = 6 << 20
"""Outcome lines in one report request, so that its frame stays below the wire's limit."""


class Ledger:
    """Leases by token, outcomes in the order they came, and what is to be given back."""

    def __init__(
        self,
        max_bytes: int,
        owing: threading.Event,
        completed: Callable[[Bundle], Bundle] = lambda bundle: bundle,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep at most about `max_bytes` of outcomes; `owing` is set when there is something to give back.

        `completed` adds to a new bundle what its function declares and the master did not know; `ended` is
        called by whoever added outcomes.
        """
        self._completed = completed
        self._has_ended = ended
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # its own way into the lock is four times as long
        self._max_bytes = max_bytes
        self._bytes = 0
        self._leases: dict[Token, Lease] = {}
        self._ended: deque[Ended] = deque()
        self._in_flight = 0
        self._back: list[Work] = []
        self._owing = owing

    @property
    def is_full(self) -> bool:
        """Say whether so many outcomes wait that nothing new may start."""
        return self._bytes >= self._max_bytes

    def enter(self, bundles: Iterable[Bundle], parts: Parts, asked_at: float, ttl: float) -> list[Work]:
        """Enter new leases, asked for at that monotonic instant; a lease that is known already is left out."""
        works = []
        complete = [self._completed(bundle) for bundle in bundles]
        with self._lock:
            for bundle, payload in zip(complete, parts, strict=True):
                if bundle.token in self._leases:
                    continue
                lease = Lease(bundle, asked_at + ttl * (1 - MARGIN))
                self._leases[lease.token] = lease
                works.append(Work(lease, bundle.runs, payload))
        return works

    def still_wanted(self, works: Iterable[Work]) -> list[Work]:
        """Return the works without the tasks that were dropped meanwhile."""
        with self._lock:
            kept = [work.still_wanted() for work in works if work.lease.token in self._leases]
        return [work for work in kept if work is not None]

    def covers(self, lease: Lease, index: int) -> bool:
        """Say whether a task is still this worker's."""
        with self._lock:
            return lease.token in self._leases and index in lease.left

    # ------------------------------------------------------------ outcomes

    def add(self, ended: Ended) -> None:
        """Keep outcomes until the master has answered for them; those of a dropped lease are forgotten."""
        with self._lock:
            if ended.lease.token not in self._leases:
                return
            self._ended.append(ended)
            self._bytes += len(ended.lines)
        self._has_ended()

    def next_batch(self) -> list[Ended]:
        """Take the outcomes for one report request; empty when none wait."""
        with self._lock:
            batch: list[Ended] = []
            size = 0
            while self._ended:
                size += len(self._ended[0].lines) + self._ended[0].header_bytes
                if batch and size > _BATCH_BYTES:
                    break
                batch.append(self._ended.popleft())
            self._in_flight += len(batch)
            return batch

    def as_reports(self, batch: Sequence[Ended]) -> tuple[Report, ...]:
        """Return a batch as reports, numbered; the same batch is sent again with the same numbers."""
        return tuple(self._report(ended) for ended in batch)

    def _report(self, ended: Ended) -> Report:
        ended.lease.reports += 1
        return Report(
            token=ended.lease.token,
            number=ended.lease.reports,
            job=ended.lease.job,
            runs=ended.runs,
            failures=ended.failures,
            seconds=ended.seconds,
            durations=ended.durations,
            whole=ended.whole,
        )

    def settle(self, batch: Sequence[Ended], answers: Iterable[Iterable[Judged]]) -> bool:
        """Enter the master's verdicts on a batch; what it answered *later* waits again. Say whether there was any."""
        later = []
        with self._lock:
            for ended, judged in zip(batch, answers, strict=True):
                self._bytes -= len(ended.lines)
                for answer in judged:
                    if answer.verdict is Verdict.LATER:
                        later.append(ended.only(answer.runs))
                    elif answer.verdict is Verdict.BROKEN:
                        self._give_back([Work(ended.lease, answer.runs, b"")])
                    else:
                        self._forget(ended.lease, answer.runs)
            self._put_back(later, len(batch))
        return bool(later)

    def unsettle(self, batch: Sequence[Ended]) -> None:
        """Take a batch back that could not be reported."""
        with self._lock:
            self._bytes -= sum(len(ended.lines) for ended in batch)
            self._put_back(batch, len(batch))

    def _put_back(self, batch: Sequence[Ended], landed: int) -> None:
        kept = [ended for ended in batch if ended.lease.token in self._leases]
        self._ended.extendleft(reversed(kept))
        self._bytes += sum(len(ended.lines) for ended in kept)
        self._in_flight -= landed
        self._changed.notify_all()

    # ------------------------------------------------------------ leases

    def held(self) -> tuple[HeldLease, ...]:
        """Return what a beat names."""
        with self._lock:
            return tuple(lease.as_held() for lease in self._leases.values())

    def extend(self, named: Iterable[HeldLease], until: float) -> None:
        """Trust the leases that a beat named up to that monotonic instant."""
        with self._lock:
            for each in named:
                if (lease := self._leases.get(each.token)) is not None:
                    lease.trusted_until = max(lease.trusted_until, until)

    def drop(self, drops: Iterable[Drop]) -> None:
        """Forget what is no longer this worker's, and outcomes that nobody wants."""
        with self._lock:
            for drop in drops:
                if (lease := self._leases.get(drop.token)) is not None:
                    self._forget(lease, drop.runs)
            kept = [ended for ended in self._ended if ended.lease.token in self._leases]
            self._bytes -= sum(len(ended.lines) for ended in self._ended) - sum(len(ended.lines) for ended in kept)
            self._ended = deque(kept)
            self._changed.notify_all()

    def _forget(self, lease: Lease, runs: Iterable[tuple[int, int]]) -> None:
        for run in runs:
            lease.left.remove(*run)
        if not lease.left:
            self._leases.pop(lease.token, None)

    # ------------------------------------------------------------ giving back

    def give_back(self, works: Iterable[Work]) -> None:
        """Keep tasks that were not begun, or of which nothing was kept, for the next release."""
        with self._lock:
            self._give_back(works)

    def _give_back(self, works: Iterable[Work]) -> None:
        self._back.extend(work for work in works if work.lease.token in self._leases)
        if self._back:
            self._owing.set()

    def next_release(self) -> list[Work]:
        """Take what is to be given back."""
        with self._lock:
            works, self._back = self._back, []
            return works

    def released(self, works: Iterable[Work]) -> None:
        """Enter that the master took tasks back."""
        with self._lock:
            for work in works:
                self._forget(work.lease, work.runs)
            self._changed.notify_all()

    def wait_reported(self, within: float) -> bool:
        """Wait until no outcome waits or is on its way; say whether it came to that."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._ended and not self._in_flight, within)
