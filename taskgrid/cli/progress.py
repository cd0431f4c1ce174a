"""The progress of a job as one line: done of total, failed, rate, time left, what runs, or why nothing does.

`Progress` only computes and writes text, from views and instants it is given; `watching.py` asks
the master and keeps the line on the terminal.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from taskgrid.cli.quantities import show_count, show_duration
from taskgrid.cli.tables import ended, failed

if TYPE_CHECKING:
    from taskgrid.model import JobView

WINDOW: Final = 10.0
"""Seconds over which the rate is taken."""
STUCK_AFTER: Final = 2.0
"""Seconds without a running task after which the reason is wanted."""


class Progress:
    """One job's progress, from a view every so often."""

    def __init__(self, now: float) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._active_at = now
        self._view: JobView | None = None

    def update(self, view: JobView, now: float) -> None:
        """Take a new view of the job."""
        done = ended(view)
        if self._is_active(view):
            self._active_at = now
        self._view = view
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW:
            self._samples.popleft()

    def _is_active(self, view: JobView) -> bool:
        before = ended(self._view) if self._view else 0
        return view.complete or ended(view) > before or bool(_leased(view))

    def stuck(self, now: float) -> bool:
        """Say whether nothing has run for so long that the reason is wanted."""
        return now - self._active_at >= STUCK_AFTER

    @property
    def rate(self) -> float:
        """Tasks that ended per second, lately."""
        if len(self._samples) < 2:
            return 0.0
        (start, before), (end, after) = self._samples[0], self._samples[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def line(self, reason: str = "") -> str:
        """Return the progress line; `reason` says why nothing runs."""
        view = self._view
        if view is None:
            return f"waiting: {reason}" if reason else "submitting"
        parts = [
            f"job {view.number}: {show_count(ended(view))}/{show_count(view.total)}{'' if view.sealed else '+'}",
            f"{show_count(failed(view))} failed" if failed(view) else "",
            f"waiting: {reason}" if reason else self._pace(view),
        ]
        return ", ".join(part for part in parts if part)

    def _pace(self, view: JobView) -> str:
        running = f"{show_count(_leased(view))} leased" if _leased(view) else ""
        if self.rate <= 0:
            return running
        left = show_duration((view.total - ended(view)) / self.rate) + " left" if view.sealed else ""
        rate = f"{self.rate:,.0f}/s" if self.rate >= 10 else f"{self.rate:.1f}/s"
        return ", ".join(part for part in (rate, left, running) if part)


def summary(view: JobView, seconds: float) -> str:
    """Return what is said when the job is over."""
    took = f" in {show_duration(seconds)}"
    counts = ", ".join(f"{show_count(count)} {state}" for state, count in view.counts.items() if count)
    return f"job {view.number}: {counts or 'no tasks'}{took}"


def _leased(view: JobView) -> int:
    from taskgrid.lifecycle import TaskState

    return view.counts.get(TaskState.LEASED, 0)
