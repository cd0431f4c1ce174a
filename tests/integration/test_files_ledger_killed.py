"""A ledger whose process is killed with -9, wherever it is: what was kept is there, whole, and the next goes on."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import ledger_writer
import pytest

from taskgrid.errors import LedgerLocked
from taskgrid.files.ledger import Ledger


@contextmanager
def _writer(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, ledger_writer.__file__, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def _kept(process: subprocess.Popen[bytes], count: int) -> list[int]:
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)]


def test_what_was_kept_survives_a_kill_in_the_middle_of_a_write(tmp_path: Path) -> None:
    """Each start takes the ledger over and goes on behind the last file: none is lost, torn or recorded twice."""
    path, kept = tmp_path / "l.ledger", list[int]()
    chance = random.Random(7)
    for _ in range(5):
        with _writer(path) as process:
            kept += _kept(process, chance.randint(1, 8))
            assert process.poll() is None
            process.kill()
            rest, _ = process.communicate(timeout=30)
        kept += [int(line) for line in rest.split()]
        kept += _recorded_unsaid(path, kept)
    assert kept == list(range(len(kept)))


def _recorded_unsaid(path: Path, kept: list[int]) -> list[int]:
    """Check all that is kept; return what was recorded by a process that was killed before it could say so."""
    with Ledger.open(path) as ledger:
        (run,) = ledger.unfinished()
        ended = [planned for planned in ledger.planned(run) if planned.ended]
        values = [each.value for each in ledger.remembered(run.recipe, [planned.entry.path for planned in ended])]
        assert values == [ledger_writer.value(planned.number) for planned in ended]
        assert len(ledger.unpublished()) == len(ended)
    return [planned.number for planned in ended][len(kept) :]


def test_a_kill_while_a_run_is_planned_leaves_no_part_of_a_plan(tmp_path: Path) -> None:
    """Nothing was submitted yet: the next run plans anew."""
    path = tmp_path / "l.ledger"
    with _writer(path) as process:
        _wait_for(path.with_name("l.ledger-journal"), process)
        process.kill()
        process.wait(30)
    with Ledger.open(path) as ledger:
        plans = [sum(1 for _ in ledger.planned(run)) for run in ledger.unfinished()]
    assert plans in ([], [ledger_writer.FILES])


def _wait_for(file: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a transaction has begun to write."""
    while not file.exists():
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.002)
            pytest.fail("it ended before it wrote")


def test_a_second_process_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    """And told which it is."""
    path = tmp_path / "l.ledger"
    with _writer(path) as process:
        _kept(process, 1)
        with pytest.raises(LedgerLocked) as refused:
            Ledger.open(path)
    assert refused.value.fields["pid"] == process.pid
    Ledger.open(path).close()
