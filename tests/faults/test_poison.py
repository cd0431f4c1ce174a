"""Tasks that do what no task should, among neighbours that mind their business.

Exactly those tasks fail, each with its true cause; every neighbour succeeds at its first attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from conftest import Record
from proof_grid import hire, traced
from proof_tasks import poison
from real_programs import Programs, eventually
from scale import MODE

from taskgrid import Grid
from taskgrid.client.job import Job
from taskgrid.errors import MemoryLimitExceeded, TaskCrashed, TaskFailed, TimeLimitExceeded
from taskgrid.lifecycle import TaskState
from taskgrid.model import Failure, parse_failure
from taskgrid.transport.protocol import Cursor, FetchRequest, Order


class Poison(NamedTuple):
    """A deed, and how its task must end."""

    deed: str
    cause: str
    error: type[BaseException]
    says: Callable[[Failure], Any]
    attempts: int = 1


ALL_POISONS = (
    Poison("segfault", "crash", TaskCrashed, lambda it: it.signal == "SIGSEGV", 3),
    Poison("exit-at-once", "crash", TaskCrashed, lambda it: it.exit_code == 3, 3),
    Poison("kill-itself", "crash", TaskCrashed, lambda it: it.signal == "SIGKILL", 3),
    Poison("print-and-exit", "crash", TaskCrashed, lambda it: it.output.endswith("last words"), 3),
    Poison("close-everything", "crash", TaskCrashed, lambda it: it.exit_code == 1, 3),
    Poison("write-into-sockets", "crash", TaskCrashed, lambda it: "announced a frame" in it.message, 3),
    Poison("eat", "memory", MemoryLimitExceeded, lambda it: (it.peak_memory or 0) > 200 << 20, 3),
    Poison("loop", "time-limit", TimeLimitExceeded, lambda it: (it.seconds or 0) >= 4),
    Poison("fork-bomb", "time-limit", TimeLimitExceeded, lambda it: "time limit" in it.message),
    Poison("stop-itself", "time-limit", TimeLimitExceeded, lambda it: "time limit" in it.message),
    Poison("leave-a-child-and-loop", "time-limit", TimeLimitExceeded, lambda it: "time limit" in it.message),
    Poison("exit", "error", TaskFailed, lambda it: it.type == "builtins.SystemExit" and it.message == "enough"),
    Poison("interrupt", "error", TaskFailed, lambda it: it.type == "builtins.KeyboardInterrupt"),
    Poison("unshowable", "error", TaskFailed, lambda it: "__str__ raised RuntimeError" in it.message),
    Poison("recurse", "error", RecursionError, lambda it: "recursion" in it.message),
    Poison("return-an-object", "bad-result", TaskFailed, lambda it: "JSON" in it.message),
    Poison("return-too-much", "bad-result", TaskFailed, lambda it: "bytes of JSON" in it.message),
)
_IN_SHORT = {"segfault", "exit-at-once", "eat", "loop", "fork-bomb", "unshowable", "return-an-object"}
POISONS = [poison for poison in ALL_POISONS if MODE or poison.deed in _IN_SHORT]
EVERY = 7
DEEDS = [deed for poison in POISONS for deed in (poison.deed, *["nothing"] * EVERY)] + [
    "print",
    "fork-and-come-back-twice",
]
"""A poison, then some neighbours; to print 10 MiB, or to fork and forget to exit, is no crime."""


@pytest.mark.timeout(120)
def test_a_poisoned_task_fails_with_its_true_cause_and_harms_no_neighbour(
    programs: Programs, record_property: Record
) -> None:
    """Crash, hang, greed, rubbish: each is told from the others, costs its own attempts and nobody else's."""
    traced(programs).start_master()
    for _ in range(2):
        hire(programs)
    with programs.grid() as grid:
        job = grid.submit_job(poison, DEEDS)
        assert job.wait(90), job.progress()
        outcomes = list(job.results(failures="yield"))
        told = failures_of(grid, job)
        attempts = {task.index: task.attempts for task in grid.control.tasks(job.id, ((0, len(DEEDS)),))}
        counts = job.progress().counts
    wrong = [
        sentence
        for index, deed in enumerate(DEEDS)
        for sentence in judge(deed, outcomes[index], told.get(index), attempts[index])
    ]
    record_property("tasks", len(DEEDS))
    assert not wrong, "\n".join(wrong)
    assert counts == {TaskState.FAILED: len(POISONS), TaskState.SUCCEEDED: len(DEEDS) - len(POISONS)}
    eventually(
        lambda: len(programs.alive()) == 5,
        what="a master, two workers, two task processes, and nothing that a task left",
    )


def judge(deed: str, outcome: Any, failure: Failure | None, attempts: int) -> list[str]:
    """Return what is wrong with the outcome of one task."""
    named = {poison.deed: poison for poison in POISONS}
    if deed not in named:
        harmed = failure is not None or attempts != 1 or outcome not in (1, None)
        return [f"a neighbour was harmed: {deed}, {outcome!r}, {attempts} attempts"] if harmed else []
    poison = named[deed]
    if failure is None:
        return [f"{deed} did not fail: {outcome!r}"]
    true = failure.cause == poison.cause and poison.says(failure) and isinstance(outcome, poison.error)
    wrong = [] if true else [f"{deed} is not told truly: {failure!r}, {outcome!r}"]
    if attempts != poison.attempts or failure.attempt != poison.attempts:
        wrong.append(f"{deed} took {attempts} attempts, its failure says {failure.attempt}, not {poison.attempts}")
    if failure.worker == "" or len(failure.output) > 4096:
        wrong.append(f"{deed}: worker {failure.worker!r}, {len(failure.output)} characters of output")
    return wrong


def failures_of(grid: Grid, job: Job) -> dict[int, Failure]:
    """Return every failure as it travelled, by task."""
    found = {}
    with grid._link.results() as proxy:
        reply, parts = proxy.fetch(FetchRequest(job=job.id, order=Order.INDEX, cursor=Cursor(), limit=8 << 20))
    for row, part in zip(reply.rows, parts, strict=True):
        for index, line in enumerate(part.split(b"\n"), row.first):
            if line.startswith(b"!"):
                found[index] = parse_failure(line)
    return found
