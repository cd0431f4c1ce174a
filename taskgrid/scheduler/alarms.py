"""When to look at which job: backoffs that end, doubts that end, clients that are away for too long.

Each job has one alarm, for the earliest of what it waits for. One that rings too early does no
harm: the job is looked at, and its alarm set again. Knows nothing of what the alarms are for.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from typing import Protocol, TypeVar

from taskgrid.model import JobNumber


class Sleeper(Protocol):
    """Who has an alarm."""

    number: JobNumber
    alarm_at: float


S = TypeVar("S", bound=Sleeper)


class Alarms:
    """The alarms of all jobs."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, JobNumber]] = []

    def __contains__(self, entry: tuple[float, JobNumber]) -> bool:
        return entry in self._heap

    def arm(self, job: Sleeper, at: float) -> None:
        """Let a job's alarm ring at `at`, unless it rings before."""
        if at < job.alarm_at:
            job.alarm_at = at
            heapq.heappush(self._heap, (at, job.number))

    def ring(self, jobs: Mapping[JobNumber, S], now: float) -> list[S]:
        """Return the jobs that it is time to look at; each is to be armed again."""
        due: list[S] = []
        while self._heap and self._heap[0][0] <= now:
            at, number = heapq.heappop(self._heap)
            job = jobs.get(number)
            if job and job.alarm_at == at:  # else it was forgotten, or set to an earlier time since
                job.alarm_at = math.inf
                due.append(job)
        return due
