"""What the fault tests share: the tally of their runs, and a grid whose every trace is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from history import History
from proof import keep_records
from proof_grid import traced
from real_programs import Programs
from tally import Tally

Record = Callable[[str, object], None]
"""What pytest's `record_property` gives: says a fact of a run to the tally."""


def pytest_configure(config: pytest.Config) -> None:
    """Count the runs, those of other folders that the matrix names included."""
    page = os.environ.get("TASKGRID_FAULTS_PAGE")
    config.pluginmanager.register(Tally(Path(page) if page else None), "fault-tally")


@pytest.fixture
def history(programs: Programs) -> History:
    """Give a history to write to, and have the attempts and the journal keep theirs whole."""
    traced(programs)
    keep_records(programs.journal)
    temporary = programs.folder / "tmp"
    temporary.mkdir()
    programs.environment["TMPDIR"] = str(temporary)
    return History(programs.folder / "history.jsonl")
