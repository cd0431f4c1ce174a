"""One grid on several Pythons: 3.11 to 3.13 speak the same protocol and run the same job.

Each interpreter gets an environment of its own with this TaskGrid installed, kept between runs.
That takes a minute the first time, so it is done with `TASKGRID_FAULTS=long` only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
from proof_grid import HERE, traced
from proof_tasks import traced_python
from real_programs import Programs

ROOT = HERE.parent.parent
VERSIONS = ("3.11", "3.12", "3.13")


def interpreter(version: str) -> str:
    """Return the path of a Python of that version, or skip the test."""
    kept = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python{version}"))
    found = [str(path) for path in reversed(kept)] + [path for path in [shutil.which(f"python{version}")] if path]
    for path in found:
        if subprocess.run([path, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0:
            return path
    pytest.skip(f"there is no Python {version} here")


@cache
def environment(version: str) -> Path:
    """Return the Python of an environment of that version that has this TaskGrid, made if need be."""
    folder = Path(tempfile.gettempdir()) / f"taskgrid-proof-{os.getuid()}" / version
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([interpreter(version), "-m", "venv", "--clear", folder], check=True)
    words = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", ROOT]
    installed = subprocess.run(words, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"pip can't install TaskGrid for Python {version} here: {installed.stderr.strip()[-300:]}")
    return python


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(os.environ.get("TASKGRID_FAULTS") != "long", reason="mixing Pythons takes TASKGRID_FAULTS=long")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_master_of_one_python_serves_workers_of_all(programs: Programs, version: str) -> None:
    """Every worker does its share, and every value is right."""
    pythons = {each: environment(each) for each in VERSIONS}
    traced(programs).python = (str(pythons[version]),)
    programs.start_master()
    workers = []
    for each in VERSIONS:
        programs.python = (str(pythons[each]),)
        workers.append(programs.start_worker(functions="proof_tasks", path=HERE))
    with programs.grid() as grid:
        results = list(grid.submit_job(traced_python, range(600)).results())
    assert [square for square, _ in results] == [n * n for n in range(600)]
    assert {python for _, python in results} == set(VERSIONS)
    assert [programs.end(worker) for worker in workers] == [0, 0, 0]
