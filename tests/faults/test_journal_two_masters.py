"""Several masters start on one journal at the same moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from real_programs import eventually

from taskgrid.journal import verify

PROGRAM = """
import sys
from taskgrid.journal import SqliteJournal
journal = SqliteJournal(sys.argv[1], ballast=0)
sys.stdin.read()
journal.close()
"""


def test_masters_that_start_at_once_never_share_a_journal(tmp_path: Path) -> None:
    """One of them gets it; every other one ends, says whose it is, and has changed nothing."""
    words = [sys.executable, "-c", PROGRAM, str(tmp_path / "journal.db")]
    starts = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    try:
        eventually(lambda: [start.poll() for start in starts].count(None) == 1, what="all but one end")
        (owner,) = (start for start in starts if start.poll() is None)
        for start in starts:
            _, said = start.communicate(timeout=30)
            assert start is owner or "in use by process" in said
        assert owner.returncode == 0
    finally:
        for start in starts:
            start.kill()
    assert verify(tmp_path / "journal.db").epochs == 1
