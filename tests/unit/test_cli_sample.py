"""Sample logs and what they are said to hold, judged by the parser that never saw the pools."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskgrid.cli.sample import write_sample
from taskgrid.logs import AccessSummary, access_summary


def content(folder: Path) -> bytes:
    """Return all files as one."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


@pytest.mark.parametrize("seed", [1, 2])
def test_reading_a_sample_gives_what_was_written(tmp_path: Path, seed: int) -> None:
    """Truth and reading are made apart, and agree in every count."""
    truth = write_sample(tmp_path, 5, 6_000_000, seed)
    assert AccessSummary.merge(map(access_summary, sorted(tmp_path.iterdir()))) == truth
    assert truth.files == 5
    assert truth.bad_lines > 0
    assert {200, 304, 404} <= set(truth.statuses)


def test_a_sample_has_about_the_size_that_was_asked_for(tmp_path: Path) -> None:
    """Two percent more or less."""
    write_sample(tmp_path, 30, 5_000_000, 3)
    assert len(content(tmp_path)) == pytest.approx(5_000_000, rel=0.02)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    """A sample can be made again, and another seed makes another one."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        write_sample(tmp_path / name, 3, 100_000, seed)
    assert content(tmp_path / "a") == content(tmp_path / "b") != content(tmp_path / "c")
