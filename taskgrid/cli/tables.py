"""Tables for people and JSON for programs, of the same views.

A table is plain text in aligned columns; JSON is one value whose names are those of the view
models. Knows the views, and nothing of commands or connections.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from taskgrid.cli.quantities import show_count, show_duration
from taskgrid.cli.terminal import paint

if TYPE_CHECKING:
    from pydantic import BaseModel

    from taskgrid.model import GridView, JobView, Run, TaskView, WorkerView
    from taskgrid.transport.protocol import Touched

Row = Sequence[str]
_MOST_RUNS = 3


def print_json(value: Any) -> None:
    """Write one JSON value, indented where a person reads it."""
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def print_views(views: Sequence[BaseModel]) -> None:
    """Write models as one JSON array."""
    print_json([view.model_dump(mode="json") for view in views])


def print_table(head: Row, rows: Sequence[Row]) -> None:
    """Write rows under their heads; columns of numbers stand to the right."""
    cells = [head, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    right = [bool(rows) and all(_numeric(row[column]) for row in rows) for column in range(len(head))]
    lines = [_line(row, widths, right) for row in cells]
    sys.stdout.write(paint(lines[0], "bold", stream=sys.stdout) + "\n")
    sys.stdout.writelines(line + "\n" for line in lines[1:])


def _line(row: Row, widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = (
        text.rjust(width) if to_right else text.ljust(width)
        for text, width, to_right in zip(row, widths, right, strict=True)
    )
    return "  ".join(cells).rstrip()


def _numeric(text: str) -> bool:
    return text.replace(",", "").replace(".", "").isdigit()


def job_state(job: JobView) -> str:
    """Return one word for where a job stands."""
    if not job.complete:
        if job.counts.get(_state("leased")):
            return "running"
        return "waiting" if job.sealed else "open"
    ended = [state for state in ("failed", "cancelled") if job.counts.get(_state(state))]
    return ended[0] if ended else "succeeded"


def ended(job: JobView) -> int:
    """Return how many of a job's tasks have ended."""
    from taskgrid.lifecycle import ENDED

    return sum(count for state, count in job.counts.items() if state in ENDED)


def succeeded(job: JobView) -> bool:
    """Say whether every task has ended with a value."""
    return job.complete and job.counts.get(_state("succeeded"), 0) == job.total


def failed(job: JobView) -> int:
    """Return how many of a job's tasks failed."""
    return job.counts.get(_state("failed"), 0)


def _state(name: str) -> Any:
    from taskgrid.lifecycle import TaskState

    return TaskState(name)


def jobs_table(jobs: Sequence[JobView], now: float) -> None:
    """Write jobs as a table; `now` is grid time."""
    head = ("job", "name", "state", "done", "total", "failed", "age", "owner")
    print_table(head, [_job_row(job, now) for job in jobs])


def _job_row(job: JobView, now: float) -> Row:
    return (
        str(job.number),
        job.name or job.function,
        job_state(job),
        show_count(ended(job)),
        show_count(job.total) + ("" if job.sealed else "+"),
        show_count(failed(job)),
        show_duration(max(0.0, now - job.created_at)),
        job.owner,
    )


def workers_table(workers: Sequence[WorkerView], now: float) -> None:
    """Write workers as a table; a lost one says when it went and what it held."""
    head = ("worker", "state", "slots", "done", "seen", "holds", "functions")
    print_table(head, [_worker_row(worker, now) for worker in workers])


def _worker_row(worker: WorkerView, now: float) -> Row:
    return (
        worker.name,
        _worker_state(worker, now),
        str(worker.slots),
        show_count(worker.done),
        show_duration(max(0.0, now - worker.seen_at)) + " ago",
        _holds(worker),
        _few(worker.functions),
    )


def _worker_state(worker: WorkerView, now: float) -> str:
    if worker.lost_at is not None:
        return f"lost {show_duration(max(0.0, now - worker.lost_at))} ago"
    if worker.suspected:
        return "suspect: job " + ", ".join(str(job) for job in worker.suspected)
    if worker.draining:
        return "draining"
    return "connected" if worker.connected else "out of touch"


def _holds(worker: WorkerView) -> str:
    named = [f"{job}.{show_run(run)}" for job, runs in worker.holds.items() for run in runs]
    return _few(named) or "-"


def _few(names: Sequence[str]) -> str:
    more = len(names) - _MOST_RUNS
    return ", ".join(names[:_MOST_RUNS]) + (f" and {more} more" if more > 0 else "")


def show_run(run: Run) -> str:
    """Write a run as selectors do, both ends included."""
    start, stop = run
    return str(start) if stop == start + 1 else f"{start}-{stop - 1}"


def grid_page(view: GridView) -> None:
    """Write the whole grid on one screen."""
    rows = (
        ("master", f"TaskGrid {view.version}, up {show_duration(view.now - view.started_at)}, start {view.epoch}"),
        ("journal", f"{view.journal} ({view.durability})"),
        ("tasks", f"{view.queued:,} queued, {view.leased:,} leased, {view.delayed:,} delayed"),
        ("jobs", f"{view.jobs:,}, {view.open_jobs:,} open"),
        ("workers", f"{view.workers:,} with {view.slots:,} slots, {view.busy:,} busy"),
        ("rate", f"{view.rate:,.0f} tasks/s"),
        ("reached", _reached(view)),
    )
    sys.stdout.writelines(f"{paint(f'{name:8}', 'bold', stream=sys.stdout)} {text}\n" for name, text in rows)
    sys.stdout.writelines(f"{paint('!', 'yellow', stream=sys.stdout)} {note}\n" for note in view.notes)


def _reached(view: GridView) -> str:
    """Say which limits were reached since the start, and how often."""
    named = [f"{limit.setting} ({limit.reached:,})" for limit in view.limits if limit.reached]
    return ", ".join(named) or "no limit"


def task_lines(task: TaskView) -> None:
    """Write where one task is, and how its earlier attempts went."""
    where = f", on {task.worker}" if task.worker else ""
    sys.stdout.write(f"attempts begun: {task.attempts}{where}\n")
    sys.stdout.writelines(f"  {line}\n" for line in task.history)


def touched_lines(touched: Sequence[Touched], verb: str) -> None:
    """Write what a bulk command did, a line per job."""
    sys.stdout.writelines(
        f"{verb} {show_count(one.tasks)} task{'' if one.tasks == 1 else 's'} of job {one.job.number}"
        f" ({one.job.name or one.job.function})\n"
        for one in touched
    )
