"""Long polls: requests that wait until there may be something for them, without a thread that waits along.

A poll *looks*: it takes the engine's lock, and either has an answer or gets into a line. What happens
in the engine wakes polls out of their lines, under the lock; whoever has left the lock then lets them
look again, and so answers them. A poll is in one place at a time, so one thread at a time looks. What
polls look for is not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import Any, Final

from taskgrid.model import JobNumber
from taskgrid.transport.protocol import Answer, Deferred, Outcome

Look = Callable[["LongPoll"], Answer | None]
"""Returns the answer, or None once the poll is in a line."""


class LongPoll(Deferred):
    """One request that waits at most until `deadline`, in grid time.

    A standing one gets several `answers`: after each it looks again, and so gets into a line once more.
    """

    __slots__ = ("_look", "answers", "connection", "deadline", "reached", "seen")

    def __init__(self, connection: int, deadline: float, look: Look, answers: int = 1) -> None:
        super().__init__()
        self.connection: Final = connection
        self.deadline: Final = deadline
        self.answers = answers
        """How many it may still get; a look that has the last one says so here."""
        self.reached: Any = None
        """Where a look was when it had an answer: for the next look."""
        self.seen = 0
        self._look = look

    def begin(self) -> Answer | Deferred:
        """Look for the first time, on the request's own thread; return the answer, or this poll if it must wait."""
        return self._look(self) or self

    def look_again(self) -> None:
        """Look after a wake-up, on any thread that holds no lock."""
        while (outcome := self._found()) is not None:
            if isinstance(outcome, Exception) or self.answers <= 1 or not self.give(outcome):
                self.settle(outcome)
                return
            self.answers -= 1

    def _found(self) -> Outcome | None:
        try:
            return self._look(self)
        except Exception as error:  # noqa: BLE001  # it is the answer
            return error


class Polls:
    """The lines, and the polls that were taken out of them; used under the engine's lock, but for `next_woken`."""

    def __init__(self) -> None:
        self._for_work: deque[LongPoll] = deque()
        self._for_job: dict[JobNumber, list[LongPoll]] = {}
        self._woken: deque[LongPoll] = deque()
        self._round = 1

    @property
    def await_work(self) -> bool:
        """Say whether any poll waits for work."""
        return bool(self._for_work)

    @property
    def any_woken(self) -> bool:
        """Say whether a poll is to look again."""
        return bool(self._woken)

    def next_woken(self) -> LongPoll | None:
        """Take a poll that is to look again; from any thread."""
        try:
            return self._woken.popleft()
        except IndexError:
            return None

    # ------------------------------------------------------------ into a line

    def wait_for_work(self, poll: LongPoll) -> None:
        """Line a poll up for work."""
        self.pass_on(poll)
        poll.seen = self._round
        self._for_work.append(poll)

    def wait_for_job(self, poll: LongPoll, number: JobNumber) -> None:
        """Line a poll up for a job's next commit."""
        self._for_job.setdefault(number, []).append(poll)

    def pass_on(self, poll: LongPoll) -> None:
        """Wake the next in line for a poll that was woken and took nothing."""
        woken_in_vain = 0 < poll.seen == self._round
        if woken_in_vain and self._for_work and self._for_work[0].seen < self._round:
            self._wake(self._for_work.popleft())

    # ------------------------------------------------------------ out of it

    def wake_for_work(self, bundles: int) -> None:
        """Wake as many as there may be bundles for."""
        self._round += 1
        for _ in range(min(bundles, len(self._for_work))):
            self._wake(self._for_work.popleft())

    def wake_for_job(self, number: JobNumber) -> None:
        """Wake all that wait for a job."""
        self._woken.extend(self._for_job.pop(number, ()))

    def wake_all(self) -> None:
        """Wake every poll."""
        self._remove(list(self._waiting()))

    def hang_up(self, connection: int) -> None:
        """Wake the polls of a connection that is gone: in line they would take a wake-up with them."""
        self._remove([poll for poll in self._waiting() if poll.connection == connection])

    def expire(self, now: float) -> None:
        """Wake the polls that have waited long enough."""
        self._remove([poll for poll in self._waiting() if poll.deadline <= now])

    def soonest(self) -> float:
        """Return the first deadline, infinity if nobody waits."""
        return min((poll.deadline for poll in self._waiting()), default=inf)

    def _wake(self, poll: LongPoll) -> None:
        poll.seen = self._round
        self._woken.append(poll)

    def _remove(self, polls: Iterable[LongPoll]) -> None:
        for poll in polls:
            if poll in self._for_work:
                self._for_work.remove(poll)
            for waiting in self._for_job.values():
                if poll in waiting:
                    waiting.remove(poll)
            self._woken.append(poll)

    def _waiting(self) -> Iterator[LongPoll]:
        yield from self._for_work
        for waiting in self._for_job.values():
            yield from waiting
