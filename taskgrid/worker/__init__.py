"""The worker: an agent that takes tasks from a master, and the processes it runs them in.

Two programs lie here. The agent (`agent`, with `leaser`, `reporter`, `beat`, `pool`, which meet in
`ledger`) imports no user code; a task process (`child`) imports nothing of the agent. Between them lie
`frames` and `words`. The room knows nothing of the master's inside or of clients.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a task process starts 25 ms sooner without the settings
    from taskgrid.settings import WorkerSettings


def run_worker(settings: WorkerSettings, *, any_function: bool = False, main: Path | None = None) -> int:
    """Find the master, work until drained, return the exit status; the first SIGTERM or SIGINT drains, the next stops.

    With `any_function` it runs whatever this user can import; `main` is a script whose functions it
    runs too. Raises `UsageError` when no master or no key is known.
    """
    from taskgrid.worker.agent import work  # noqa: PLC0415  # a task process needs nothing of the agent

    return work(settings, any_function=any_function, main=main)
