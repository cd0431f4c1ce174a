"""What every journal promises, run on each of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, current_thread
from zlib import crc32

import pytest

from taskgrid.errors import JournalDamaged
from taskgrid.journal import (
    ChunkRow,
    Commit,
    Durability,
    Group,
    Journal,
    MemoryJournal,
    OutcomePiece,
    OutcomeRow,
    SqliteJournal,
    StoredChunk,
)
from taskgrid.model import Accepted, Created, JobId, JobNumber, JobSpec, Marked, Record, Token

JOB = JobNumber(7)
TOKEN = Token(1, 5, "00ff00ff00ff00ff")
MUCH = 1 << 30


@dataclass
class House:
    """Opens a journal, and opens it again as a restart would."""

    first: Callable[[], Journal]
    again: Callable[[Journal], Journal]
    opened: list[Journal] = field(default_factory=list)

    def open(self) -> Journal:
        """Open a journal for the first time."""
        return self._keep(self.first())

    def restart(self, journal: Journal) -> Journal:
        """Close a journal and open it again."""
        journal.close()
        return self._keep(self.again(journal))

    def now_and_again(self, journal: Journal) -> Iterator[Journal]:
        """Give the journal, then what a restart makes of it."""
        yield journal
        yield self.restart(journal)

    def _keep(self, journal: Journal) -> Journal:
        self.opened.append(journal)
        return journal


def _sqlite(folder: Path, cache: int) -> House:
    def make() -> Journal:
        return SqliteJournal(folder / "journal.db", Durability.PROCESS, ballast=0, cache=cache)

    return House(make, lambda _: make())


def _memory_after(journal: Journal) -> Journal:
    assert isinstance(journal, MemoryJournal)
    return MemoryJournal(after=journal)


@pytest.fixture(params=["memory", "sqlite", "sqlite-without-cache"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """Each kind of journal, and how it is opened again."""
    kinds = {
        "memory": lambda: House(MemoryJournal, _memory_after),
        "sqlite": lambda: _sqlite(tmp_path, 64 << 20),
        "sqlite-without-cache": lambda: _sqlite(tmp_path, 0),
    }
    made = kinds[request.param]()
    yield made
    for journal in made.opened:
        journal.close()


@pytest.fixture
def journal(house: House) -> Journal:
    """Open a journal for one test."""
    return house.open()


def lines(start: int, stop: int) -> bytes:
    """Make the payloads of tasks."""
    return b"\n".join(b"[%d]" % task for task in range(start, stop))


def chunk(ordinal: int, first: int, count: int) -> ChunkRow:
    """Make a chunk of such payloads."""
    return ChunkRow(ordinal, first, count, lines(first, first + count))


def outcome(sequence: int, first: int, count: int, mark: str = "", **more: bool) -> OutcomeRow:
    """Make a row whose lines name their tasks."""
    block = b"\n".join(f'"{mark}{task}"'.encode() for task in range(first, first + count))
    return OutcomeRow(sequence, first, count, TOKEN, sequence, b"" if more.get("cancelled") else block, **more)


def commit(
    journal: Journal,
    *,
    job: JobNumber = JOB,
    first_record: int = 0,
    records: Sequence[Record] = (),
    chunks: Sequence[ChunkRow] = (),
    outcomes: Sequence[OutcomeRow] = (),
) -> None:
    """Append one group and wait for its commit."""
    journal.append([Group(job, first_record, records, chunks, outcomes)], lambda _: None)
    journal.flush()


def created(number: JobNumber = JOB) -> Created:
    """Make a job's first record."""
    return Created(number=number, spec=JobSpec(id=JobId("ab" * 16), function="m:f"), at=1.5)


def replayed(journal: Journal) -> dict[int, tuple[bytes | None, int, list[Record]]]:
    """Read all that a replay yields."""
    return {job.number: (job.checkpoint, job.next_record, list(job.records)) for job in journal.replay()}


def test_append_is_answered_once_after_its_commit_on_the_writers_thread(journal: Journal) -> None:
    """`append` returns at once; `done` is called once, elsewhere, and what it answers can be read."""
    answers, seen, answered = [], [], Event()

    def done(commit: Commit) -> None:
        answers.append((commit, current_thread() is not caller))
        seen.append(journal.read_payloads(JOB, 0, 3))
        answered.set()

    caller = current_thread()
    journal.append([Group(JOB, 0, [created()], [chunk(0, 0, 3)])], done)
    assert answered.wait(5)
    journal.flush()
    assert answers == [(Commit.COMMITTED, True)]
    assert seen == [lines(0, 3)]


def test_answers_come_in_the_order_of_appends(journal: Journal) -> None:
    """Groups are committed in the order in which they were appended."""
    order: list[int] = []
    for number in range(300):
        journal.append([Group(JOB, number, [Marked(mark=number)])], lambda _, n=number: order.append(n))
    journal.flush()
    assert order == list(range(300))


def test_replay_gives_back_every_record_in_order(house: House) -> None:
    """A restart finds each job's records as they were appended, jobs in order of number."""
    journal = house.open()
    other = JobNumber(3)
    many: list[Record] = [Marked(mark=mark) for mark in range(1500)]
    commit(journal, records=[created(), *many], chunks=[chunk(0, 0, 5)])
    commit(journal, job=other, records=[created(other)])
    commit(journal, first_record=1501, records=[Accepted(ordinal=0, first=0, count=5)])
    found = replayed(house.restart(journal))
    assert list(found) == [3, 7]
    assert found[3] == (None, 0, [created(other)])
    assert found[7] == (None, 0, [created(), *many, Accepted(ordinal=0, first=0, count=5)])


def test_replay_begins_at_the_newest_checkpoint(house: House) -> None:
    """Records before a checkpoint are not replayed; those after it are."""
    journal = house.open()
    marks: list[Record] = [Marked(mark=mark) for mark in range(10)]
    commit(journal, records=marks)
    journal.checkpoint(JOB, 4, b"old")
    journal.checkpoint(JOB, 8, b"state")
    commit(journal, first_record=10, records=[Marked(mark=10)])
    again = house.restart(journal)
    assert replayed(again) == {7: (b"state", 8, [*marks[8:], Marked(mark=10)])}
    again.checkpoint(JOB, 11, b"all")
    assert replayed(house.restart(again)) == {7: (b"all", 11, [])}


def test_epoch_grows_at_each_start_and_carries_its_own_bits(house: House) -> None:
    """Two starts never share an epoch, and every start so far is known."""
    first = house.open()
    second = house.restart(first)
    third = house.restart(second)
    epochs = [journal.epoch for journal in (first, second, third)]
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert len({epoch.salt for epoch in epochs}) == 3
    assert all(len(epoch.salt) == 16 and int(epoch.salt, 16) >= 0 for epoch in epochs)
    assert dict(third.epochs) == {epoch.number: epoch.salt for epoch in epochs}


def test_payloads_of_any_run_are_joined_lines(house: House) -> None:
    """A run may be a chunk, several, or begin and end inside one; before and after a restart."""
    journal = house.open()
    commit(journal, records=[created()], chunks=[chunk(0, 0, 40), chunk(1, 40, 1)])
    commit(journal, chunks=[chunk(2, 41, 59)])
    for each in house.now_and_again(journal):
        for start, stop in [(0, 40), (0, 100), (3, 4), (39, 42), (40, 41), (41, 100), (99, 100), (10, 90), (5, 5)]:
            assert each.read_payloads(JOB, start, stop) == lines(start, stop)
            assert each.read_payloads(JOB, start, stop) == lines(start, stop)


def test_payloads_read_in_steps_are_what_was_submitted(journal: Journal) -> None:
    """Leases that cut chunks at odd places together give each line once."""
    commit(journal, records=[created()], chunks=[chunk(n, n * 200, 200) for n in range(5)])
    steps = [journal.read_payloads(JOB, at, min(at + 37, 1000)) for at in range(0, 1000, 37)]
    assert b"\n".join(steps) == lines(0, 1000)


def test_payload_of_a_task_that_was_not_committed_is_damage(journal: Journal) -> None:
    """The journal never makes up a payload."""
    commit(journal, records=[created()], chunks=[chunk(0, 0, 4)])
    for start, stop in [(4, 5), (3, 5), (100, 101)]:
        with pytest.raises(JournalDamaged, match=r"7\."):
            journal.read_payloads(JOB, start, stop)


def test_repeated_chunk_can_be_told_from_a_different_one(house: House) -> None:
    """What was committed under an ordinal is known with its digest, also after a restart."""
    journal = house.open()
    commit(journal, records=[created()], chunks=[chunk(0, 0, 4), chunk(1, 4, 2)])
    for each in house.now_and_again(journal):
        assert each.read_chunk(JOB, 1) == StoredChunk(4, 2, crc32(lines(4, 6)))
        assert each.read_chunk(JOB, 2) is None
        assert each.read_chunk(JobNumber(99), 0) is None


def test_arrivals_come_by_sequence_up_to_a_limit(house: House) -> None:
    """At least one row comes if there is any, and a reader that goes on sees each row once."""
    journal = house.open()
    rows = [outcome(sequence, sequence * 10, 10) for sequence in range(1, 41)]
    rows[4] = OutcomeRow(5, 50, 10, None, 0, b"", cancelled=True)
    commit(journal, records=[created()], outcomes=rows)
    for each in house.now_and_again(journal):
        assert each.read_arrivals(JOB, 0, MUCH) == rows
        assert each.read_arrivals(JOB, 39, MUCH) == rows[39:]
        assert each.read_arrivals(JOB, 40, MUCH) == []
        assert each.read_arrivals(JOB, 7, 1) == rows[7:8]
        found: list[OutcomeRow] = []
        while more := each.read_arrivals(JOB, len(found), 1000):
            assert sum(len(row.lines) for row in more) <= 1000
            found += more
        assert found == rows


def test_arrivals_of_later_commits_follow(journal: Journal) -> None:
    """A reader at the end sees nothing, then what is committed next."""
    commit(journal, records=[created()], outcomes=[outcome(1, 0, 5)])
    assert journal.read_arrivals(JOB, 1, MUCH) == []
    commit(journal, outcomes=[outcome(2, 5, 5)])
    assert journal.read_arrivals(JOB, 1, MUCH) == [outcome(2, 5, 5)]


def test_index_comes_in_order_and_ends_at_a_task_without_outcome(house: House) -> None:
    """Rows that arrived out of order are read in order of tasks, up to the first gap."""
    journal = house.open()
    commit(journal, records=[created()], outcomes=[outcome(1, 20, 10), outcome(2, 0, 10), outcome(3, 10, 10)])
    commit(journal, outcomes=[outcome(4, 35, 5)])
    for each in house.now_and_again(journal):
        pieces = each.read_index(JOB, 0, 100, MUCH)
        assert [(piece.first, piece.count) for piece in pieces] == [(0, 10), (10, 10), (20, 10)]
        assert pieces[1] == OutcomePiece(10, 10, outcome(3, 10, 10).lines, cancelled=False, token=TOKEN)
        assert each.read_index(JOB, 30, 100, MUCH) == []
        assert [piece.first for piece in each.read_index(JOB, 35, 100, MUCH)] == [35]
        assert each.read_index(JOB, 5, 12, MUCH) == [
            OutcomePiece(5, 5, outcome(0, 5, 5).lines, cancelled=False, token=TOKEN),
            OutcomePiece(10, 2, outcome(0, 10, 2).lines, cancelled=False, token=TOKEN),
        ]


def test_index_gives_at_least_one_piece_and_then_up_to_its_limit(journal: Journal) -> None:
    """A limit cuts the answer, never to nothing."""
    commit(journal, records=[created()], outcomes=[outcome(n, (n - 1) * 10, 10) for n in range(1, 101)])
    assert len(journal.read_index(JOB, 0, 1000, 1)) == 1
    some = journal.read_index(JOB, 0, 1000, 5000)
    assert 1 < len(some) < 100


def test_newest_outcome_of_a_task_counts(house: House) -> None:
    """A retry's row hides the part of the earlier row that it covers, and no more."""
    journal = house.open()
    rows = [outcome(1, 0, 10), outcome(2, 10, 10), OutcomeRow(3, 8, 4, None, 0, b"", cancelled=True)]
    commit(journal, records=[created()], outcomes=[*rows, outcome(4, 9, 1, "again ")])
    for each in house.now_and_again(journal):
        pieces = each.read_index(JOB, 0, 20, MUCH)
        assert [(piece.first, piece.count, piece.cancelled) for piece in pieces] == [
            (0, 8, False),
            (8, 1, True),
            (9, 1, False),
            (10, 2, True),
            (12, 8, False),
        ]
        assert pieces[2].lines == b'"again 9"'
        assert pieces[3].token is None
        assert pieces[4].lines == outcome(0, 12, 8).lines


@pytest.mark.parametrize("seed", range(5))
def test_index_agrees_with_a_naive_reading_of_any_history(house: House, seed: int) -> None:
    """Whatever rows overlap, each task's line is that of its greatest sequence number."""
    dice = random.Random(seed)
    rows = [outcome(n, dice.randrange(200), dice.choice([1, 1, 2, 3, 7, 8, 60]), f"{n}:") for n in range(1, 150)]
    newest = {row.first + at: line for row in rows for at, line in enumerate(row.lines.split(b"\n"))}
    journal = house.open()
    commit(journal, records=[created()], outcomes=rows[:70])
    journal.read_index(JOB, 0, 1, 1)
    commit(journal, outcomes=rows[70:])
    for each in house.now_and_again(journal):
        for start in range(0, 270, 9):
            expected, task = [], start
            while task in newest and task < 250:
                expected.append(newest[task])
                task += 1
            pieces = each.read_index(JOB, start, 250, MUCH)
            assert [line for piece in pieces for line in piece.lines.split(b"\n")] == expected
            assert [line for piece in pieces for line in [piece.count]] == [
                len(piece.lines.split(b"\n")) for piece in pieces
            ]


def test_forgotten_job_is_gone_and_its_neighbour_stays(house: House) -> None:
    """Nothing of a forgotten job is read or replayed; nothing of another is lost."""
    journal = house.open()
    other = JobNumber(8)
    for job in (JOB, other):
        rows = [outcome(n + 1, n * 10, 10) for n in range(1200)]
        commit(journal, job=job, records=[created(job)], chunks=[chunk(0, 0, 20)], outcomes=rows)
    journal.forget(JOB)
    journal.flush()
    for each in house.now_and_again(journal):
        assert each.read_arrivals(JOB, 0, MUCH) == []
        assert each.read_index(JOB, 0, 10, MUCH) == []
        assert each.read_chunk(JOB, 0) is None
        with pytest.raises(JournalDamaged):
            each.read_payloads(JOB, 0, 1)
        assert each.read_payloads(other, 0, 20) == lines(0, 20)
        assert len(each.read_arrivals(other, 0, MUCH)) == 1200
        assert list(replayed(each)) == [8]


def test_latecomer_of_a_forgotten_job_leaves_no_half_of_it(house: House) -> None:
    """What is appended to a job after it was forgotten is gone with it, and the journal opens again."""
    journal = house.open()
    commit(journal, records=[created()], chunks=[chunk(0, 0, 20)])
    journal.forget(JOB)
    journal.flush()
    commit(journal, first_record=1, records=[Marked(mark=3)])
    assert replayed(house.restart(journal)) == {}


def test_number_of_a_forgotten_job_can_be_used_again(house: House) -> None:
    """A new job under an old number has nothing of the old one."""
    journal = house.open()
    commit(journal, records=[created(), Marked(mark=1)], chunks=[chunk(0, 0, 20)], outcomes=[outcome(1, 0, 20)])
    journal.forget(JOB)
    again = house.restart(journal)
    commit(again, records=[created()], chunks=[chunk(0, 0, 3)])
    assert again.read_payloads(JOB, 0, 3) == lines(0, 3)
    assert again.read_arrivals(JOB, 0, MUCH) == []
    assert replayed(house.restart(again)) == {7: (None, 0, [created()])}


def test_size_grows_with_what_is_kept(journal: Journal) -> None:
    """Retention by bytes can rest on `size`, and there is room in the beginning."""
    before = journal.size()
    commit(journal, records=[created()], chunks=[chunk(0, 0, 20_000)])
    assert journal.size() > before + 100_000
    assert journal.room()


def test_close_commits_what_was_appended(house: House) -> None:
    """Closing answers what waits, and may be repeated."""
    journal = house.open()
    answers: list[Commit] = []
    for number in range(50):
        journal.append([Group(JOB, number, [Marked(mark=number)])], answers.append)
    journal.close()
    journal.close()
    assert answers == [Commit.COMMITTED] * 50
