"""The journal's process dies, or its disk fails, at each of the journal's system calls in turn.

strace does it: it kills the process at the n-th call of a kind, or gives that call an error. What the
process acknowledged before is compared with what the next start finds. Calls on other files than
the journal's are left alone. Without strace, or where it may not trace, the tests are skipped.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from taskgrid.journal import Durability, SqliteJournal, verify

LONG = os.environ.get("TASKGRID_FAULTS") == "long"
STRACE = shutil.which("strace")
WITHIN = 50.0
CALLS = ("pwrite64", "fdatasync", "fsync", "ftruncate", "openat", "unlink", "fallocate")
"""What the journal asks of the kernel about its files; some kinds may never come."""
COMMITS = 12
PROGRAM = f"""
import os, sys
from taskgrid.journal import ChunkRow, Durability, Group, OutcomeRow, SqliteJournal
from taskgrid.journal.upkeep import Upkeep
from taskgrid.model import Accepted, Created, JobSpec, Reported, Token
import taskgrid.journal.upkeep as upkeep

upkeep._LOG_BYTES = 200_000  # so that the log is copied into the file within these few commits, too
journal = SqliteJournal(sys.argv[1], Durability(sys.argv[2]), ballast=4096, reserve=0)
token = Token(journal.epoch.number, 1, journal.epoch.salt)
created = Created(number=1, spec=JobSpec(id="ab" * 16, function="m:f"), at=1.0)
journal.append([Group(1, 0, [created])], lambda _: None)
for n in range({COMMITS}):
    records = [
        Accepted(ordinal=n, first=n * 3, count=3),
        Reported(token=token, number=1, runs=((n * 3, n * 3 + 3),), first_sequence=n + 1, at=2.0),
    ]
    chunk = ChunkRow(n, n * 3, 3, b"[%d]\\n[1]\\n[2]" % n + b" " * 3000)
    outcomes = OutcomeRow(n + 1, n * 3, 3, token, 1, b"%d\\n1\\n2" % n)
    journal.append([Group(1, 1 + 2 * n, records, [chunk], [outcomes])], lambda _, n=n: os.write(1, b"%d\\n" % n))
    journal.flush()
journal.close()
"""


STARTS = """
import os, sys
from taskgrid.journal import Durability, SqliteJournal

SqliteJournal(sys.argv[1], Durability(sys.argv[2]), ballast=0)
os._exit(0)  # before a close could sync anything
"""


class Ended(NamedTuple):
    """How the program ended, and what it acknowledged."""

    status: int
    acknowledged: list[int]
    traced: str


def run(journal: Path, durability: str, *options: str, program: str = PROGRAM) -> Ended:
    """Run the program under strace, which sees the journal's files alone."""
    assert STRACE
    log = journal.with_name("trace.txt")
    files = [f"-P{journal}{end}" for end in ("", "-wal", ".lock", ".ballast", "-journal")]
    words = [
        STRACE,
        "-f",
        "-qq",
        "-o",
        str(log),
        *files,
        *options,
        sys.executable,
        "-c",
        program,
        str(journal),
        durability,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=WITHIN)
    numbers = [int(line) for line in done.stdout.splitlines() if line.isdigit()]
    return Ended(done.returncode, numbers, log.read_text() if log.exists() else done.stderr)


@functools.cache
def permitted() -> bool:
    """Say whether strace is there and may trace."""
    if STRACE is None:
        return False
    return subprocess.run([STRACE, "-qq", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode == 0


@pytest.fixture(autouse=True)
def _needs_strace() -> None:
    if not permitted():
        pytest.skip("strace is not there, or may not trace here")


def check_recovered(journal: Path, acknowledged: list[int]) -> None:
    """Open the journal as the next start does: everything acknowledged is there, and all that is there is whole."""
    again = SqliteJournal(journal, Durability.PROCESS, ballast=0)
    try:
        records = [record for job in again.replay() for record in job.records]
        there = max(0, (len(records) - 1) // 2)
        assert there >= len(acknowledged)
        for n in range(there):
            assert again.read_payloads(1, n * 3, n * 3 + 3).startswith(b"[%d]\n" % n)
        rows = again.read_arrivals(1, 0, 1 << 30)
        assert [row.lines for row in rows] == [b"%d\n1\n2" % n for n in range(there)]
    finally:
        again.close()
    assert verify(journal).findings == []


def count_calls(folder: Path, durability: str) -> dict[str, int]:
    """Run it unharmed and count what it asks of the kernel."""
    folder.mkdir()
    ended = run(folder / "journal.db", durability, f"-etrace={','.join(CALLS)}")
    assert ended.status == 0, ended.traced
    assert ended.acknowledged == list(range(COMMITS))
    return {call: len(re.findall(rf"\b{call}\(", ended.traced)) for call in CALLS}


@pytest.mark.parametrize("durability", ["power", "process", "none"])
def test_each_start_syncs_its_epoch_before_the_journal_can_be_used(tmp_path: Path, durability: str) -> None:
    """Also where commits are answered without a sync: no two starts can be taken for one another."""
    SqliteJournal(tmp_path / "journal.db", ballast=0).close()
    ended = run(tmp_path / "journal.db", durability, "-etrace=fdatasync,pwrite64", program=STARTS)
    assert ended.status == 0, ended.traced
    calls = re.findall(r"\b(fdatasync|pwrite64)\(", ended.traced)
    assert "pwrite64" in calls, "the epoch was written"
    assert calls[-1] == "fdatasync", ended.traced


def places(calls: dict[str, int], most: int) -> list[tuple[str, int]]:
    """Return the calls to die at: all of them, or `most` of each kind, spread over the run."""
    chosen = []
    for call, count in calls.items():
        step = 1 if LONG else max(1, -(-count // most))
        chosen += [(call, number) for number in range(1, count + 1, step)]
    return chosen


@pytest.mark.timeout(3600 if LONG else 120)
@pytest.mark.parametrize("durability", ["power", "process"] if LONG else ["power"])
def test_journal_killed_at_each_of_its_calls_keeps_what_it_acknowledged(tmp_path: Path, durability: str) -> None:
    """Between any two calls to the kernel the file is one that the next start goes on with."""
    calls = count_calls(tmp_path / "whole", durability)
    assert calls["pwrite64"] > 2 * COMMITS
    for call, number in places(calls, 2):
        folder = tmp_path / f"{call}-{number}"
        folder.mkdir()
        inject = f"-einject={call}:signal=SIGKILL:when={number}"
        ended = run(folder / "journal.db", durability, f"-etrace={call}", inject)
        assert ended.status in (-signal.SIGKILL, 128 + signal.SIGKILL, 0), f"{call} {number}: {ended}"
        check_recovered(folder / "journal.db", ended.acknowledged)


@pytest.mark.timeout(3600 if LONG else 120)
def test_sync_that_fails_ends_the_process_and_the_next_start_recovers(tmp_path: Path) -> None:
    """After a failed fsync nobody can say what is on disk: no second try, status 74, nothing more acknowledged."""
    calls = count_calls(tmp_path / "whole", "power")
    syncs = calls["fdatasync"]
    assert syncs >= COMMITS
    ends = []
    for number in range(1, syncs + 1, 1 if LONG else 7):
        folder = tmp_path / f"sync-{number}"
        folder.mkdir()
        inject = f"-einject=fdatasync:error=EIO:when={number}"
        ended = run(folder / "journal.db", "power", "-etrace=fdatasync", inject)
        ends.append(ended.status)
        check_recovered(folder / "journal.db", ended.acknowledged)
    assert 74 in ends
    assert set(ends) <= {74, 1, 0}, "1 before it is open, 0 where nothing rested on it"
