"""The SQLite journal on a disk that fills up: a small tmpfs, which only root can mount."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from taskgrid.journal import ChunkRow, Durability, Group, SqliteJournal, verify
from taskgrid.model import Accepted, Created, JobId, JobNumber, JobSpec, Record

JOB = JobNumber(1)
MIB = 1 << 20
SOON = 40.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount 12 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "taskgrid-test", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a failed test may hold a file open


def opened(disk: Path) -> SqliteJournal:
    """Open a journal whose reserve and ballast fit the small disk."""
    return SqliteJournal(disk / "journal.db", Durability.PROCESS, reserve=2 * MIB, ballast=MIB)


def fill(disk: Path, *, leave: int) -> None:
    """Take all space but some bytes."""
    found = os.statvfs(disk)
    with (disk / "filler").open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - leave)


def group(n: int, size: int = 100_000) -> Group:
    """Make a group of about `size` bytes."""
    created: list[Record] = [Created(number=JOB, spec=JobSpec(id=JobId("ab" * 16), function="m:f"), at=1.0)]
    records = [*(() if n else created), Accepted(ordinal=n, first=n, count=1)]
    return Group(JOB, n + 1 if n else 0, records, [ChunkRow(n, n, 1, b"[%06d]" % n * (size // 8))])


def wait_until(claim: Callable[[], bool]) -> None:
    """Return when the claim holds; fail if it doesn't soon."""
    deadline = time.monotonic() + SOON
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_full_disk_first_costs_the_ballast_and_then_holds_answers_back(disk: Path) -> None:
    """Nothing is answered that isn't kept; when space returns the same batch is committed and the ballast restored."""
    journal = opened(disk)
    ballast = disk / "journal.db.ballast"
    assert journal.room()
    assert ballast.stat().st_size == MIB
    fill(disk, leave=200_000)
    assert not journal.room()
    answered: list[int] = []
    sent = 0
    while not journal.full:
        assert sent < 100
        one = Event()
        journal.append([group(sent)], lambda _, n=sent, one=one: (answered.append(n), one.set()))
        sent += 1
        wait_until(lambda one=one: one.is_set() or journal.full)
    assert not ballast.exists()
    assert len(answered) > 3, "the ballast should have served some commits"
    assert answered == list(range(sent - 1))
    (disk / "filler").unlink()
    journal.flush()
    assert answered == list(range(sent))
    assert not journal.full
    wait_until(ballast.exists)
    wait_until(journal.room)
    journal.close()
    assert verify(disk / "journal.db").findings == []


def test_journal_on_a_full_disk_closes_and_keeps_what_it_answered(disk: Path) -> None:
    """Closing gives up what was never answered, at once; what was is there when space returns."""
    journal = opened(disk)
    journal.append([group(0)], lambda _: None)
    journal.flush()
    fill(disk, leave=0)
    answered: list[int] = []
    for n in range(1, 30):
        journal.append([group(n)], lambda _, n=n: answered.append(n))
    wait_until(lambda: journal.full)
    journal.close()  # while the disk is full: it would wait for ever for what it can't write
    (disk / "filler").unlink()
    again = opened(disk)
    _, *kept = [record for job in again.replay() for record in job.records]
    again.close()
    assert kept == [Accepted(ordinal=n, first=n, count=1) for n in [0, *answered]]
