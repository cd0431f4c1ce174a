"""What happened in a run, as it was seen while it happened: one JSON object a line, in one file.

Clients write what they were told (accepted, got), whoever breaks something writes what and when.
Instants are the machine's monotonic clock, which all processes share, in seconds. The attempts'
own trace is another file, written by `proof_tasks`. Nothing is judged here: `proof` does, afterwards.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class History:
    """A file that several processes append to; each note is one write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, what: str, **facts: Any) -> None:
        """Write one event down."""
        line = json.dumps({"at": time.monotonic(), "what": what, **facts}) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def accepted(self, job: int, total: int) -> None:
        """Note that a client was told of a job's acceptance, the last item included."""
        self.note("accepted", job=job, total=total)

    def got(self, job: int, reader: str, values: Iterable[tuple[int, Any]]) -> None:
        """Note values that a caller saw."""
        self.note("got", job=job, reader=reader, values=list(values))

    def killed(self, victim: str, pids: Iterable[int]) -> None:
        """Note what was killed: the processes that may have run tasks until then, or the one itself."""
        self.note("killed", victim=victim, pids=list(pids))

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the events of these kinds, or all; a last line that its writer's death cut short is left out."""
        lines = self.path.read_text().split("\n")[:-1] if self.path.exists() else []
        found = [json.loads(line) for line in lines]
        return [event for event in found if not kinds or event["what"] in kinds]
