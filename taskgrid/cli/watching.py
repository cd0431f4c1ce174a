"""Watching a job from beside: a thread that asks the master how far it is, and shows it on stderr.

On a terminal it keeps a progress line; elsewhere it only says, once, why nothing runs. It has a
connection of its own, so that it never holds up the work it watches. That the master is away it
hears from the connection's own talk.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from taskgrid.cli.progress import Progress
from taskgrid.cli.terminal import StatusLine, say
from taskgrid.errors import TaskGridError

if TYPE_CHECKING:
    from types import TracebackType

    from taskgrid.client.link import Link
    from taskgrid.model import Explanation, JobId

_EVERY_SHOWN: Final = 0.25
_EVERY_SILENT: Final = 1.0


class Watcher:
    """Shows the progress of one job from `start` to `stop`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._line = StatusLine()
        self._stopped = threading.Event()
        self._said = ""
        self._away = ""
        self._job: JobId | None = None
        self._thread = threading.Thread(target=self._run, name="taskgrid-progress", daemon=True)
        self._handler = _Heard(self)

    def watch(self, job: JobId) -> None:
        """Say which job it is; before, there is nothing to ask for."""
        self._job = job

    def __enter__(self) -> Self:
        logging.getLogger("taskgrid.client").addHandler(self._handler)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        logging.getLogger("taskgrid.client").removeHandler(self._handler)
        self._line.clear()

    def make_room(self) -> None:
        """Take the progress line away before other output goes to the same terminal."""
        self._line.clear()

    def master_is_away(self, what: str) -> None:
        """Hear that the connection is trying to come back."""
        if not self._away:
            self._away = f"master unreachable since {time.strftime('%H:%M:%S')}"
            self._tell("away", f"{self._away}: {what}")
        self._line.show(self._away)

    def _run(self) -> None:
        progress = Progress(time.monotonic())
        every = _EVERY_SHOWN if self._line.visible else _EVERY_SILENT
        while not self._stopped.wait(every):
            if self._job is None:
                continue
            try:
                self._look(progress, self._job)
            except TaskGridError:
                continue  # who fetches meets the same error, and tells

    def _look(self, progress: Progress, job: JobId) -> None:
        from taskgrid.client.control import Control
        from taskgrid.transport.protocol import Selector

        with self._link.beats() as proxy:
            control = Control(proxy)
            progress.update(control.job(Selector(job=job)), time.monotonic())
            stuck = progress.stuck(time.monotonic())
            why = _waiting(control.explain(Selector(job=job))) if stuck else None
        self._away = ""
        if self._stopped.is_set():
            return
        if why is not None:
            self._tell(why.reason, f"waiting: {why.what}")
        self._line.show(progress.line(why.what if why else ""))

    def _tell(self, kind: str, text: str) -> None:
        """Say a thing of each kind once, where no line shows it: its words may change by the second."""
        if not self._line.visible and kind != self._said:
            self._said = kind
            say(text)


def _waiting(explanation: Explanation) -> Explanation | None:
    """Return why nothing runs, unless something does after all, as one long task that ends nothing for long."""
    from taskgrid.model import Reason

    return None if explanation.reason in {Reason.RUNNING, Reason.ENDED} else explanation


class _Heard(logging.Handler):
    """Passes the connection's warnings on to the watcher."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(logging.WARNING)
        self._watcher = watcher

    def emit(self, record: logging.LogRecord) -> None:
        self._watcher.master_is_away(record.getMessage())
