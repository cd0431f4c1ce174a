"""The grid under `python -O`: no promise rests on an `assert`."""

from __future__ import annotations

import sys
from pathlib import Path

from client_tasks import fails_at_three
from real_programs import private_grid

HERE = Path(__file__).parent


def test_a_grid_of_programs_without_asserts_runs_a_job(tmp_path: Path) -> None:
    """Master, worker and task processes run with `-O`, and the job ends as it would without."""
    with private_grid(tmp_path, python=(sys.executable, "-O")) as programs:
        programs.environment["PYTHONOPTIMIZE"] = "1"
        master = programs.start_master()
        worker = programs.start_worker(functions="client_tasks", path=HERE)
        with programs.grid() as grid:
            job = grid.submit_job(fails_at_three, range(3000))
            outcomes = list(job.results(failures="yield"))
        assert isinstance(outcomes.pop(3), ValueError)
        assert outcomes == [0, 1, 2, *range(4, 3000)]
        assert (programs.end(worker), programs.end(master)) == (0, 0)
