"""Publishes what tasks have written, once the master has committed their outcomes.

A task writes into a temporary file beside its target, named by its lease's token, so that no two attempts
ever write the same one. The verdict on its outcome decides: committed under this token, the temporary gets
the target's name; refused, it goes. What a worker doesn't come to, the client that closes the run does, from
the committed outcome. Knows two paths and a verdict, and nothing of what was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from taskgrid.model import Verdict
from taskgrid.transport.protocol import Judged
from taskgrid.worker.frames import Unpublished
from taskgrid.worker.held import Ended

_COMMITTED: Final = frozenset({Verdict.TAKEN, Verdict.YOURS})

log = structlog.get_logger()


def publish(batch: Sequence[Ended], answers: Iterable[Sequence[Judged]]) -> None:
    """Rename what was committed and remove what was refused; what is to be reported later stays as it is."""
    for ended, judged in zip(batch, answers, strict=True):
        for index, file in ended.unpublished:
            for answer in judged:
                if any(start <= index < stop for start, stop in answer.runs):
                    _settle(file, answer.verdict)


def _settle(file: Unpublished, verdict: Verdict) -> None:
    try:
        if verdict in _COMMITTED:
            file.temporary.replace(file.target)
        elif verdict is not Verdict.LATER:
            file.temporary.unlink()
    except FileNotFoundError:
        pass  # the closer of the run was there first
    except OSError as error:
        log.warning("output.unpublished", target=str(file.target), why=str(error))
