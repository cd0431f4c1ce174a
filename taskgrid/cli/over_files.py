"""One `taskgrid files` from its plan to its last line: results go to stdout, or where --out says; talk to stderr."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final, NoReturn, Self

from taskgrid.cli.quantities import show_count, show_duration
from taskgrid.cli.terminal import StatusLine, say
from taskgrid.errors import TaskGridError, UsageError
from taskgrid.files.preview import previewed
from taskgrid.files.report import Progress, Report, nothing_yet
from taskgrid.files.run import Run
from taskgrid.logs.report import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskgrid.client.link import Link
    from taskgrid.files.eyes import Eyes
    from taskgrid.files.wish import Settled

_TROUBLES: Final = 20
"""Files without a result that are named."""
_EVERY: Final = 0.5
_STUCK_AFTER: Final = 2.0
"""Seconds without a running task after which the reason is told."""
_LOOK_EVERY: Final = 5.0
"""Seconds between two looks for new and changed files."""


def go_on(link: Link, settled: Settled, max_payload: int) -> NoReturn:
    """Run it again and again; what there was nothing to do for is said once. An interrupt ends it."""
    if settled.ledger is None:
        raise UsageError("--watch needs a ledger", hint="Say with --ledger FILE where to keep what is done.")
    pause, is_first = threading.Event(), True
    while True:
        carry_out(link, settled, max_payload, only_news=not is_first)
        pause.wait(_LOOK_EVERY)
        is_first = False


def carry_out(link: Link, settled: Settled, max_payload: int, *, only_news: bool = False) -> Report:
    """Run it, print what is to be printed, and return what it came to; `only_news`: nothing if nothing was read."""
    run = Run(link, settled, max_payload, only_news=only_news)
    prints = settled.file is None and settled.folder is None and settled.merge is None
    with followed(run, again=settled.ledger is not None) as shown:
        for result in run:
            if prints:
                shown.make_room()
                sys.stdout.buffer.write(result.as_line() + b"\n")
                sys.stdout.buffer.flush()
    if only_news and not run.has_news:
        return run.report
    if settled.merge is not None and settled.file is None:
        sys.stdout.buffer.write(run.merged_line() + b"\n")
    say(summary(run.report))
    return run.report


@contextmanager
def followed(run: Run, *, again: bool) -> Iterator[Shown]:
    """Show how a run goes while it is read, end it with that, and say what failed; `again`: it can be taken up."""
    try:
        with closing(run), Shown(run) as shown:
            yield shown
    except KeyboardInterrupt:
        say(f"interrupted: {show_count(run.report.done)} files were read, the rest was taken back")
        raise
    finally:
        _tell(run, again=again)


def _tell(run: Run, *, again: bool) -> None:
    troubles = run.troubles
    for note in run.notes[:_TROUBLES]:
        say(f"note: {note}")
    for trouble in troubles[:_TROUBLES]:
        say(f"failed: {trouble.path}: {trouble.cause}" + (f" ({trouble.sample})" if trouble.sample else ""))
    if len(troubles) > _TROUBLES:
        say(f"failed: {len(troubles) - _TROUBLES:,} more files")
    if troubles and again:
        say("  next: --rerun failed reads them again")


def summary(report: Report) -> str:
    """Return what is said when the run is over."""
    if report.unchanged == report.files:
        return f"nothing to do: all {show_count(report.files)} files are done and unchanged"
    parts = [
        f"{show_count(report.done)} of {show_count(report.files)} files read",
        f"{size(report.bytes)}",
        "" if report.records is None else f"{show_count(report.records)} records",
        f"{show_count(report.bad)} of them bad" if report.bad else "",
        f"{show_count(report.unchanged)} unchanged" if report.unchanged else "",
        f"{show_count(report.failed)} failed" if report.failed else "",
    ]
    return ", ".join(part for part in parts if part) + f" in {show_duration(report.seconds)}"


def preview(settled: Settled, eyes: Eyes) -> None:
    """Print which files would be read, and why."""
    due = 0
    with Shown(Looking(eyes)) as shown:
        for planned in previewed(settled, eyes):
            if planned.due:
                due += 1
                why = f": {planned.why}" if planned.why else ""
                shown.make_room()
                sys.stdout.write(f"{planned.standing}\t{planned.seen.size}\t{planned.seen.path}{why}\n")
    say(f"{show_count(due)} files would be read")


class Looking:
    """What is shown of a run that is only looked at."""

    def __init__(self, eyes: Eyes) -> None:
        self.report = Report()
        self._eyes = eyes

    def progress(self) -> Progress | None:
        """Say why nobody looks, if nobody does."""
        return nothing_yet(self._eyes.waiting())


class Shown:
    """The run's progress on a terminal, from a thread that asks the master; elsewhere only, once, why nothing runs."""

    def __init__(self, run: Run | Looking) -> None:
        self._run = run
        self._line = StatusLine()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="taskgrid-progress", daemon=True)
        self._began = self._ran_at = time.monotonic()
        self._said = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._line.clear()

    def make_room(self) -> None:
        """Take the line away before other output goes to the same terminal."""
        self._line.clear()

    def _watch(self) -> None:
        while not self._stopped.wait(_EVERY):
            try:
                progress = self._run.progress()
            except TaskGridError:
                continue  # who reads results meets the same error, and tells
            if not self._stopped.is_set():
                self._show(progress, time.monotonic())

    def _show(self, progress: Progress | None, now: float) -> None:
        if progress is None or not progress.waiting:
            self._ran_at = now
        if progress is not None and now > self._ran_at + _STUCK_AFTER:
            if not self._line.visible and not self._said:
                self._said = True
                say(f"waiting: {progress.waiting}")
            self._line.show(f"waiting: {progress.waiting}")
        else:
            self._line.show("planning" if progress is None else self._pace(progress, now - self._began))

    def _pace(self, progress: Progress, seconds: float) -> str:
        rate = progress.bytes / seconds
        left = (progress.all_bytes - progress.bytes) / rate if rate else 0.0
        records = self._run.report.records
        parts = [
            f"{show_count(progress.files)}/{show_count(progress.all_files)} files",
            f"{size(progress.bytes)}/{size(progress.all_bytes)}",
            f"{show_count(records)} records" if records else "",
            f"{show_count(progress.failed)} slices failed" if progress.failed else "",
            f"{size(round(rate))}/s, {show_duration(left)} left" if rate else "",
        ]
        return ", ".join(part for part in parts if part)
