"""The write-ahead log after crashes and flipped bits: a prefix or a refusal, never less without a word."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from taskgrid.errors import JournalDamaged
from taskgrid.journal import ChunkRow, Durability, Group, SqliteJournal, verify
from taskgrid.model import Accepted, Created, JobId, JobNumber, JobSpec

JOB = JobNumber(1)
HEADER, FRAME = 32, 24 + 4096


@dataclass
class Crashed:
    """The files of a journal whose process died, and the size of its log after each commit."""

    database: Path
    ends: list[int]

    @property
    def log(self) -> Path:
        """The write-ahead log."""
        return Path(f"{self.database}-wal")

    def copied(self, folder: Path) -> Crashed:
        """Copy it, to be harmed."""
        folder.mkdir()
        for file in (self.database, self.log):
            shutil.copy(file, folder / file.name)
        return Crashed(folder / self.database.name, self.ends)

    def flip(self, offset: int, bit: int = 0) -> None:
        """Turn one bit of the log."""
        content = bytearray(self.log.read_bytes())
        content[offset] ^= 1 << bit
        self.log.write_bytes(content)

    def reopened(self) -> tuple[int, str]:
        """Open it, and return how many commits are there and what was cut."""
        journal = SqliteJournal(self.database, Durability.PROCESS, ballast=0)
        try:
            _, *chunks = [record for job in journal.replay() for record in job.records]
            assert chunks == [accepted(n) for n in range(len(chunks))]
            for n in range(len(chunks)):
                assert journal.read_payloads(JOB, n, n + 1) == payload(n)
            return len(chunks), journal.recovered
        finally:
            journal.close()


def accepted(n: int) -> Accepted:
    """Make the record of a chunk."""
    return Accepted(ordinal=n, first=n, count=1)


def payload(n: int) -> bytes:
    """Make a payload that fills some frames."""
    return b"[%d]" % n * 2000


@pytest.fixture
def crashed(tmp_path: Path) -> Iterator[Crashed]:
    """Write 12 commits of several frames each, and leave the files as a crash would."""
    path = tmp_path / "journal.db"
    log = Path(f"{path}-wal")
    journal = SqliteJournal(path, Durability.PROCESS, ballast=0)
    created = Created(number=JOB, spec=JobSpec(id=JobId("ab" * 16), function="m:f"), at=1.0)
    journal.append([Group(JOB, 0, [created])], lambda _: None)
    journal.flush()
    ends = [log.stat().st_size]
    for n in range(12):
        journal.append([Group(JOB, n + 1, [accepted(n)], [ChunkRow(n, n, 1, payload(n))])], lambda _: None)
        journal.flush()
        ends.append(log.stat().st_size)
    yield Crashed(path, ends).copied(tmp_path / "crashed")
    journal.close()


def test_log_of_a_crash_between_commits_is_whole(crashed: Crashed) -> None:
    """After a crash that tore nothing everything is there, and nothing is said to be cut."""
    assert crashed.reopened() == (12, "")


def test_log_torn_anywhere_keeps_each_commit_before(crashed: Crashed, tmp_path: Path) -> None:
    """Wherever the last write ended, all commits before it are there, and a cut is reported."""
    edges = [end + near for end in crashed.ends for near in (-1, 0, 1, 24, FRAME)]
    offsets = sorted({*edges, *random.Random(1).sample(range(crashed.ends[0], crashed.ends[-1]), 20)})
    for offset in (offset for offset in offsets if crashed.ends[0] <= offset <= crashed.ends[-1]):
        torn = crashed.copied(tmp_path / f"torn-{offset}")
        with torn.log.open("r+b") as file:
            file.truncate(offset)
        whole = sum(end <= offset for end in crashed.ends) - 1
        kept, cut = torn.reopened()
        assert kept == whole
        assert bool(cut) == (offset not in crashed.ends)


def test_log_torn_in_its_header_or_first_frame_opens(crashed: Crashed, tmp_path: Path) -> None:
    """A crash right after the log began anew leaves less than a frame of it, and everything else in the file."""
    journal = SqliteJournal(crashed.database, Durability.PROCESS, ballast=0)
    journal.close()  # the log is in the file now
    assert not crashed.log.exists()
    journal = SqliteJournal(crashed.database, Durability.PROCESS, ballast=0)
    began = crashed.copied(tmp_path / "began")
    journal.close()
    log = began.log.read_bytes()
    for offset in (0, 1, HEADER - 1, HEADER, HEADER + 1, HEADER + 24, HEADER + 25, HEADER + FRAME - 1):
        torn = began.copied(tmp_path / f"torn-{offset}")
        torn.log.write_bytes(log[:offset])
        kept, _ = torn.reopened()
        assert kept == 12


def test_flipped_bit_before_the_last_commit_refuses_to_start(crashed: Crashed, tmp_path: Path) -> None:
    """SQLite alone would open with fewer rows; the journal says so, names the way out and changes nothing."""
    dice = random.Random(2)
    frames = range(HEADER, crashed.ends[-2], FRAME)
    header_places = [(frame, dice.randrange(24)) for frame in dice.sample(frames, 8)]
    page_places = [(frame, dice.randrange(24, FRAME)) for frame in dice.sample(frames, 8)]
    for number, (frame, place) in enumerate([*header_places, *page_places]):
        harmed = crashed.copied(tmp_path / f"flip-{number}")
        harmed.flip(frame + place, dice.randrange(8))
        before = harmed.log.read_bytes(), harmed.database.read_bytes()
        with pytest.raises(JournalDamaged, match="taskgrid journal verify"):
            harmed.reopened()
        assert (harmed.log.read_bytes(), harmed.database.read_bytes()) == before
        assert "commits follow" in verify(harmed.database).findings[0]


def test_flipped_bit_in_the_last_commit_is_refused_or_reported(crashed: Crashed, tmp_path: Path) -> None:
    """There a torn write and damage can look alike; but nothing is ever cut without a word."""
    dice = random.Random(3)
    for number in range(16):
        harmed = crashed.copied(tmp_path / f"last-{number}")
        harmed.flip(dice.randrange(crashed.ends[-2], crashed.ends[-1]), dice.randrange(8))
        try:
            kept, cut = harmed.reopened()
        except JournalDamaged:
            continue
        assert kept == 11
        assert cut


def test_flipped_bit_in_the_logs_header_refuses_to_start(crashed: Crashed, tmp_path: Path) -> None:
    """With a bad header SQLite would take the whole log for empty."""
    for offset in range(0, HEADER, 3):
        harmed = crashed.copied(tmp_path / f"header-{offset}")
        harmed.flip(offset)
        with pytest.raises(JournalDamaged):
            harmed.reopened()


def test_last_write_that_reached_the_disk_out_of_order_is_cut(crashed: Crashed, tmp_path: Path) -> None:
    """Power loss may keep a commit's last block and lose an earlier one; it was not answered, so the rest opens."""
    for number, unwritten in enumerate((b"\0", b"\x5a")):
        torn = crashed.copied(tmp_path / f"order-{number}")
        with torn.log.open("r+b") as file:
            file.seek(crashed.ends[-2])
            file.write(unwritten * FRAME)
        kept, cut = torn.reopened()
        assert kept == 11
        assert cut
        assert torn.reopened() == (11, "")


def test_missing_file_beside_a_log_with_commits_is_refused(crashed: Crashed) -> None:
    """SQLite would delete the log of an empty file."""
    crashed.database.write_bytes(b"")
    with pytest.raises(JournalDamaged, match="missing or empty"):
        crashed.reopened()


def test_cut_log_takes_new_commits(crashed: Crashed) -> None:
    """After a tail was cut the journal goes on, and a later start finds old and new."""
    with crashed.log.open("r+b") as file:
        file.truncate(crashed.ends[7] + 100)
    journal = SqliteJournal(crashed.database, Durability.PROCESS, ballast=0)
    assert journal.recovered
    journal.append([Group(JOB, 8, [accepted(7)], [ChunkRow(7, 7, 1, payload(7))])], lambda _: None)
    journal.close()
    assert crashed.reopened() == (8, "")
    assert verify(crashed.database).findings == []


def test_frames_that_were_cut_are_not_taken_for_later_commits(crashed: Crashed, tmp_path: Path) -> None:
    """A second crash soon after a torn tail was cut finds nothing of that tail behind its own frames."""
    with crashed.log.open("r+b") as file:
        file.seek(crashed.ends[-2])
        file.write(b"\0" * FRAME)
    journal = SqliteJournal(crashed.database, Durability.PROCESS, ballast=0)
    again = crashed.copied(tmp_path / "again")
    journal.close()
    assert again.reopened() == (11, "")
