"""`taskgrid demo`: the main job on real processes of this machine, with a killed task process, judged by the truth.

Sample logs of which it is known what they add up to are summarised by a master and two workers,
started by command line as anybody would. Half-way a task process is killed. The demo succeeds only
if every file was summarised once and all totals are those of the logs as they were written.
Everything it makes lies in temporary folders and is gone at its end, also after Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from taskgrid.cli.failing import INTERRUPTED
from taskgrid.cli.terminal import StatusLine, paint, say

if TYPE_CHECKING:
    from taskgrid.client import Grid, Job
    from taskgrid.logs import AccessSummary

FILES: Final = 200
BYTES: Final = 200_000_000
_SEED: Final = 7117
_MEGABYTE: Final = 1e6
_LOOK_EVERY: Final = 0.02
"""Seconds between two looks whether the workers are there."""


@dataclass
class Run:
    """What is known of the demo's job while it goes and when it is over."""

    files: list[Path]
    size: int
    summaries: dict[int, AccessSummary] = field(default_factory=dict)
    twice: int = 0
    """Results that came for a task that had one."""
    seconds: float = 0.0
    killed: str = ""
    ran_again: int = 0
    """Attempts beyond the first."""

    def pace(self, seconds: float) -> str:
        """Return bytes and tasks per second; files count in full once they are summarised."""
        share = len(self.summaries) / len(self.files)
        return f"{self.size * share / _MEGABYTE / seconds:,.0f} MB/s, {len(self.summaries) / seconds:,.0f} tasks/s"


def run_demo(files: int = FILES, size: int = BYTES) -> int:
    """Show it all and return the exit status: 0 only if nothing was lost and all totals match."""
    try:
        with _interrupted_by(signal.SIGTERM, signal.SIGHUP), tempfile.TemporaryDirectory(prefix="taskgrid-demo-") as at:
            return _run(Path(at), files, size)
    except KeyboardInterrupt:
        say("interrupted; the demo's processes and files are gone")
        return INTERRUPTED


def _run(folder: Path, files: int, size: int) -> int:
    from taskgrid.logs import AccessSummary
    from taskgrid.logs.report import render

    truth, run = _written(folder, files, size)
    _work(run)
    merged = AccessSummary.merge(run.summaries[index] for index in sorted(run.summaries))
    sys.stdout.write(render(merged) + "\n")
    sys.stdout.flush()
    return _judge(run, merged, truth)


def _written(folder: Path, files: int, size: int) -> tuple[AccessSummary, Run]:
    from taskgrid.cli.sample import write_sample

    say(f"writing {size / _MEGABYTE:,.0f} MB of sample access logs, {files} files, to {folder}")
    truth = write_sample(folder, files, size, _SEED)
    paths = sorted(folder.iterdir())
    return truth, Run(paths, sum(path.stat().st_size for path in paths))


def _work(run: Run) -> None:
    """Start a grid, have it summarise the logs, and end it."""
    from taskgrid.client import Grid
    from taskgrid.logs import access_summary

    say("starting a master and two workers, a process each")
    with Grid.local(workers=2, functions=["taskgrid.logs"]) as grid:
        _await_workers(grid, 2)
        started = time.monotonic()
        job = grid.submit_job(access_summary, run.files, name="demo")
        _follow(run, grid, job, started)
        run.seconds = time.monotonic() - started
        tasks = grid.control.tasks(job.id, [(0, len(run.files))], limit=len(run.files))
        run.ran_again = sum(task.attempts - 1 for task in tasks if task.attempts > 1)


def _await_workers(grid: Grid, count: int, within: float = 60.0) -> None:
    """Wait until all workers are there, so that the pace shown is theirs and not that of their start."""
    from taskgrid.errors import TaskGridError

    deadline = time.monotonic() + within
    never = threading.Event()
    while grid.control.status().workers < count:
        if time.monotonic() > deadline:
            raise TaskGridError(
                f"{count} workers did not start within {within:.0f} s", hint="Is this machine very busy?"
            )
        never.wait(_LOOK_EVERY)


def _follow(run: Run, grid: Grid, job: Job, started: float) -> None:
    line = StatusLine()
    try:
        for index, summary in job.as_completed():
            run.twice += index in run.summaries
            run.summaries[index] = summary
            done = len(run.summaries)
            line.show(f"job {job.number}: {done}/{len(run.files)}, {run.pace(time.monotonic() - started)} {run.killed}")
            if not run.killed and done * 2 >= len(run.files):
                run.killed = _kill_task_process(grid)
                line.clear()
                say(f"half-way: {run.killed}")
    finally:
        line.clear()


def _kill_task_process(grid: Grid) -> str:
    """Kill a task process of any worker, as a crash or the kernel's memory killer would; say which."""
    for worker in grid.control.workers():
        for pid in _children(worker.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            return f"killed task process {pid} of worker {worker.name} (SIGKILL)"
    return "found no task process to kill"


def _children(parent: int) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if int(stat.rpartition(")")[2].split()[1]) == parent:  # state and parent follow the name, proc_pid_stat(5)
            yield int(entry.name)


def _judge(run: Run, merged: AccessSummary, truth: AccessSummary) -> int:
    problems = list(_problems(run, merged, truth))
    say("")
    say(f"{len(run.summaries)} tasks, {run.size / _MEGABYTE:,.0f} MB in {run.seconds:.1f} s: {run.pace(run.seconds)}")
    say(f"{run.killed}; attempts that had to be made again: {run.ran_again}")
    for problem in problems:
        say(f"{paint('wrong:', 'red')} {problem}")
    if not problems:
        say(paint(f"all totals match what was written: {truth.lines:,} lines, none lost, none twice", "green"))
    return 1 if problems else 0


def _problems(run: Run, merged: AccessSummary, truth: AccessSummary) -> Iterator[str]:
    if missing := len(run.files) - len(run.summaries):
        yield f"{missing} files have no summary"
    if run.twice:
        yield f"{run.twice} results came twice"
    for name in type(truth).model_fields:
        found, written = getattr(merged, name), getattr(truth, name)
        if found != written:
            yield f"{name}: found {_short(found)}, written {_short(written)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


@contextmanager
def _interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """Let these signals end the block as Ctrl-C does, so that it cleans up."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
