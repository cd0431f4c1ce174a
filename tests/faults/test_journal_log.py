"""The log of a journal, harmed at each of its bytes: its tail cut at every offset, its bits flipped.

What the next start may do is little: go on with all commits before the tear, or refuse, and change
nothing. A few offsets are tried as a rule, and all of them with `TASKGRID_FAULTS=long`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from journal_scene import WrittenJob

from taskgrid.errors import JournalDamaged
from taskgrid.journal import Durability, SqliteJournal, repair, verify
from taskgrid.model import Accepted, JobNumber

LONG = os.environ.get("TASKGRID_FAULTS") == "long"
JOB = JobNumber(1)
CHUNKS = 6
HEADER, FRAME = 32, 24 + 4096


class Crash:
    """The bytes that a process left which died: the file, the log, and the log's length after each chunk."""

    def __init__(self, folder: Path) -> None:
        path = folder / "journal.db"
        journal = SqliteJournal(path, Durability.PROCESS, ballast=0)
        job = WrittenJob(journal, JOB).create()
        self.ends = [Path(f"{path}-wal").stat().st_size]
        for _ in range(CHUNKS):
            job.submit(20)
            self.ends.append(Path(f"{path}-wal").stat().st_size)
        self.file, self.log = path.read_bytes(), Path(f"{path}-wal").read_bytes()[: self.ends[-1]]
        journal.close()

    def laid(self, folder: Path, log: bytes) -> Path:
        """Lay the files out, with this log."""
        path = folder / "harmed.db"
        for old in folder.glob("harmed.db*"):
            old.unlink()
        path.write_bytes(self.file)
        Path(f"{path}-wal").write_bytes(log)
        return path


@pytest.fixture
def crash(tmp_path: Path) -> Crash:
    """Let a process write and die."""
    (tmp_path / "alive").mkdir()
    return Crash(tmp_path / "alive")


def chunks_in(path: Path) -> int:
    """Open a journal and count its chunks; what is there is the beginning of what was written."""
    journal = SqliteJournal(path, Durability.NONE, ballast=0)
    try:
        (job,) = journal.replay()
        _, *accepted = job.records
        assert accepted == [Accepted(ordinal=n, first=20 * n, count=20) for n in range(len(accepted))]
        if accepted:
            journal.read_payloads(JOB, 0, 20 * len(accepted))
        return len(accepted)
    finally:
        journal.close()


def some(offsets: Iterable[int], most: int) -> list[int]:
    """Return all offsets of a long run, else some by lot."""
    every = list(offsets)
    return every if LONG else random.Random(7).sample(every, most)


@pytest.mark.timeout(7200 if LONG else 120)
def test_tail_cut_at_every_offset_leaves_the_commits_before(crash: Crash, tmp_path: Path) -> None:
    """Of the last two commits, frame by frame and byte by byte."""
    first = crash.ends[-3]
    edges = [offset for end in crash.ends[-3:] for offset in (end - FRAME, end - 1, end) if first <= offset]
    for offset in sorted({*edges, *some(range(first, crash.ends[-1] + 1), 100)}):
        path = crash.laid(tmp_path, crash.log[:offset])
        assert chunks_in(path) == sum(end <= offset for end in crash.ends) - 1, f"cut at {offset}"


@pytest.mark.timeout(7200 if LONG else 120)
def test_flipped_bit_refuses_or_costs_the_last_commit_alone(crash: Crash, tmp_path: Path) -> None:
    """Before the last commit every flip refuses to start; in the last one a flip may look like a tear, never more."""
    for offset in some(range(len(crash.log)), 200):
        log = bytearray(crash.log)
        log[offset] ^= 1 << (offset * 5 % 8)
        path = crash.laid(tmp_path, bytes(log))
        try:
            kept = chunks_in(path)
        except JournalDamaged:
            assert Path(f"{path}-wal").read_bytes() == log, "a refusal changes nothing"
            continue
        assert offset >= crash.ends[-2], f"a flip at {offset} went by unseen"
        assert kept == CHUNKS - 1


@pytest.mark.timeout(7200 if LONG else 120)
def test_repair_of_any_flip_leaves_a_sound_journal(crash: Crash, tmp_path: Path) -> None:
    """Whatever bit of the log is wrong, what comes out is sound, and loses no more than it says."""
    for offset in some(range(0, len(crash.log), 13), 20):
        log = bytearray(crash.log)
        log[offset] ^= 1 << (offset % 8)
        path = crash.laid(tmp_path, bytes(log))
        if verify(path).sound:
            continue
        losses = repair(path, lambda _findings, _losses: True).losses
        assert verify(path).sound
        journal = SqliteJournal(path, Durability.NONE, ballast=0)
        jobs = list(journal.replay())
        journal.close()
        assert jobs or losses
        if not losses:
            assert chunks_in(path) == CHUNKS, f"a flip at {offset} of {crash.ends}"


def test_repair_after_a_flip_in_a_frames_own_checksum_loses_nothing(crash: Crash, tmp_path: Path) -> None:
    """The frame is as it was, and so is the next one, whose checksum begins with it: two pages of one commit."""
    frames = range((crash.ends[-3] - HEADER) // FRAME, (crash.ends[-1] - HEADER) // FRAME - 1)
    assert len(frames) > 3
    for frame in frames:
        for byte in (16, 23):
            log = bytearray(crash.log)
            log[HEADER + frame * FRAME + byte] ^= 1
            path = crash.laid(tmp_path, bytes(log))
            repaired = repair(path, lambda _findings, _losses: True)
            assert not repaired.losses, f"frame {frame + 1}"
            assert chunks_in(path) == CHUNKS, f"frame {frame + 1}"
