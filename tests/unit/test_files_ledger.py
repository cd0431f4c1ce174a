"""What a run over files remembers, and how the next one finds the files."""

from __future__ import annotations

import gzip
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgrid.clock import ManualClock
from taskgrid.errors import LedgerError, LedgerLocked
from taskgrid.files import lock
from taskgrid.files.identity import Identity
from taskgrid.files.ledger import Ledger
from taskgrid.files.remembered import Done, Entry, Failed, OpenRun, Recipe, Written
from taskgrid.files.standing import Finding, Rerun, Seen, Standing
from taskgrid.files.stored import Stored

RECIPE = Recipe(function="mylogs:errors", code="c1", parameters={"split": "auto"})
SECOND = 10**9


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands at a round instant."""
    return ManualClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: ManualClock) -> Iterator[Ledger]:
    """Give a new ledger."""
    with Ledger.open(tmp_path / "state" / "run.ledger", clock) as opened:
        yield opened


@pytest.fixture
def log(tmp_path: Path, clock: ManualClock) -> Path:
    """Give a file of three lines that was written an hour ago."""
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo\nthree\n")
    aged(path, clock)
    return path


def aged(path: Path, clock: ManualClock, seconds: float = 3600) -> None:
    """Make a file's last change lie in the past."""
    os.utime(path, ns=(0, int((clock.now() - seconds) * SECOND)))


def identity(path: Path) -> Identity:
    """Look at a file."""
    with Stored(path) as stored:
        return Identity.of(stored)


def found(ledger: Ledger, path: Path, recipe: Recipe = RECIPE, **how: object) -> Finding:
    """Say how one file stands."""
    (finding,) = ledger.compare(recipe, [Seen.of(path, path.stat())], **how)  # type: ignore[arg-type]  # as given
    return finding


def ran(ledger: Ledger, *paths: Path, recipe: Recipe = RECIPE, **came_of: object) -> OpenRun:
    """Run files to their ends."""
    run = ledger.begin(recipe, "key", [Entry(path, identity(path)) for path in paths])
    ledger.record(run, [Done(number, **came_of) for number in range(len(paths))])  # type: ignore[arg-type]  # as given
    ledger.end(run)
    return run


# ------------------------------------------------------------ how files stand


def test_a_file_is_new_then_unchanged(ledger: Ledger, log: Path) -> None:
    """The second run has nothing to do, also after the ledger was closed."""
    assert found(ledger, log).standing is Standing.NEW
    ran(ledger, log)
    finding = found(ledger, log)
    assert (finding.standing, finding.due) == (Standing.UNCHANGED, False)
    ledger.close()
    with Ledger.open(ledger.path) as again:
        assert found(again, log).standing is Standing.UNCHANGED


def test_what_was_appended_is_the_tail(ledger: Ledger, log: Path) -> None:
    """It begins where the file ended, and reaches to where it ends now."""
    ran(ledger, log)
    with log.open("ab") as file:
        file.write(b"four\n")
    finding = found(ledger, log, tail_after="\n")
    assert (finding.standing, finding.due, finding.since) == (Standing.GROWN, True, 14)
    assert finding.identity == identity(log)
    whole = found(ledger, log)
    assert (whole.standing, whole.since, whole.why) == (Standing.CHANGED, 0, "it has 19 bytes, and had 14")


def _renamed_away(log: Path) -> None:
    log.rename(log.with_suffix(".1"))
    log.write_bytes(b"one\ntwo\nthree\nfour\n")


def _copied_and_truncated(log: Path) -> None:
    log.write_bytes(b"ten\nsix\neight\nand more lines\n")


def _written_on_in_the_line(log: Path) -> None:
    with log.open("r+b") as file:
        file.truncate(13)
    log.write_bytes(log.read_bytes() + b"!\nfour\n")


def _truncated(log: Path) -> None:
    log.write_bytes(b"one\n")


def _touched(log: Path) -> None:
    os.utime(log)


def _replaced(log: Path) -> None:
    was = log.stat()
    log.with_suffix(".new").write_bytes(b"one\nTWO\nthree\n")
    log.with_suffix(".new").replace(log)
    os.utime(log, ns=(0, was.st_mtime_ns))


@pytest.mark.parametrize(
    "change", [_renamed_away, _copied_and_truncated, _written_on_in_the_line, _truncated, _touched, _replaced]
)
def test_what_did_not_only_grow_is_read_from_its_beginning(ledger: Ledger, log: Path, change: object) -> None:
    """Rotated either way, rewritten, shortened, touched, or replaced with the same size and time of change."""
    assert callable(change)
    ran(ledger, log)
    change(log)
    finding = found(ledger, log, tail_after="\n")
    assert (finding.standing, finding.due, finding.since) == (Standing.CHANGED, True, 0)
    assert finding.why


@pytest.mark.parametrize(
    "content", [b"one\nhal", gzip.compress(b"one\n") + b"\n"], ids=["within a record", "compressed"]
)
def test_growth_is_no_tail_where_it_can_not_be_entered(ledger: Ledger, log: Path, content: bytes) -> None:
    """In the middle of a record that was counted as it stood, or in compressed data."""
    log.write_bytes(content)
    ran(ledger, log)
    with log.open("ab") as file:
        file.write(b"f\nthree\n")
    assert found(ledger, log, tail_after="\n").standing is Standing.CHANGED


def test_an_empty_file_that_was_written_to_is_all_tail(ledger: Ledger, log: Path) -> None:
    """Nothing came before it: it is read from its beginning, under either name."""
    log.write_bytes(b"")
    ran(ledger, log)
    log.write_bytes(b"one\n")
    assert found(ledger, log, tail_after="\n").since == 0


@pytest.mark.parametrize(("seconds", "standing"), [(1.9, Standing.CHANGED), (2.0, Standing.UNCHANGED)])
def test_a_file_that_had_not_settled_is_read_again(
    ledger: Ledger, log: Path, clock: ManualClock, seconds: float, standing: Standing
) -> None:
    """A change right after planning may leave size and time of change as they were."""
    aged(log, clock, seconds)
    ran(ledger, log)
    assert found(ledger, log).standing is standing


def test_a_file_that_had_not_settled_may_have_grown(ledger: Ledger, log: Path, clock: ManualClock) -> None:
    """As a log does that is written to all the time: its beginning is compared, whenever it was written."""
    aged(log, clock, 0)
    ran(ledger, log)
    with log.open("ab") as file:
        file.write(b"four\n")
    assert found(ledger, log, tail_after="\n").standing is Standing.GROWN


def test_another_function_or_parameters_run_again(ledger: Ledger, log: Path) -> None:
    """Another code hash replaces what is remembered; other parameters are remembered beside it."""
    ran(ledger, log)
    changed = RECIPE.model_copy(update={"code": "c2"})
    other = RECIPE.model_copy(update={"parameters": {"split": "none"}})
    assert (found(ledger, log, changed).standing, found(ledger, log, changed).why) == (
        Standing.CHANGED,
        "the function changed",
    )
    assert found(ledger, log, other).standing is Standing.NEW
    ran(ledger, log, recipe=other)
    assert found(ledger, log).standing is Standing.UNCHANGED
    ran(ledger, log, recipe=changed)
    assert found(ledger, log).standing is Standing.CHANGED


def test_a_failed_file_waits_in_quarantine(ledger: Ledger, log: Path, clock: ManualClock) -> None:
    """With its cause and a sample, until it is asked for, or changes, or the function does."""
    run = ledger.begin(RECIPE, "key", [Entry(log, identity(log))])
    ledger.record(run, [Failed(0, "ValueError: no number", "12,x")])
    (failure,) = ledger.failures(RECIPE)
    assert (failure.path, failure.cause, failure.sample, failure.failed_at) == (
        log,
        "ValueError: no number",
        "12,x",
        clock.now(),
    )
    finding = found(ledger, log)
    assert (finding.standing, finding.due, finding.why) == (Standing.FAILED, False, "ValueError: no number")
    assert found(ledger, log, rerun=Rerun.FAILED).due
    assert found(ledger, log, RECIPE.model_copy(update={"code": "c2"})).due
    with log.open("ab") as file:
        file.write(b"four\n")
    assert found(ledger, log, tail_after="\n").standing is Standing.CHANGED
    ran(ledger, log)
    assert not ledger.failures(RECIPE)


@pytest.mark.parametrize(("rerun", "due"), [(Rerun.CHANGED, False), (Rerun.FAILED, False), (Rerun.ALL, True)])
def test_only_all_takes_what_is_unchanged(ledger: Ledger, log: Path, rerun: Rerun, due: bool) -> None:
    """What is done is done, unless everything is asked for."""
    ran(ledger, log)
    assert found(ledger, log, rerun=rerun, tail_after="\n").due is due


def test_names_that_are_not_utf_8_and_large_inodes_are_kept(ledger: Ledger, log: Path) -> None:
    """A path is bytes, and an inode 64 bits without a sign."""
    strange = log.with_name(os.fsdecode(b"caf\xe9.log"))
    large = identity(log).model_copy(update={"inode": 2**64 - 1})
    run = ledger.begin(RECIPE, "key", [Entry(strange, large)])
    ledger.record(run, [Done(0, b"1")])
    (finding,) = ledger.compare(RECIPE, [Seen(strange, large.inode, large.size, large.mtime_ns)])
    assert (finding.seen.path, finding.standing) == (strange, Standing.UNCHANGED)


def test_a_long_listing_is_answered_in_order(ledger: Ledger, tmp_path: Path) -> None:
    """Each file once, whatever is recorded of it."""
    listing = [Seen(tmp_path / f"{number}.log", number, 5, 0) for number in range(1201)]
    then = Identity(device=0, inode=0, size=5, mtime_ns=0, head="")
    run = ledger.begin(RECIPE, "key", [Entry(each.path, then) for each in listing[::2]])
    ledger.record(run, [Done(number) for number in range(601)])
    findings = list(ledger.compare(RECIPE, listing))
    assert [finding.seen for finding in findings] == listing
    assert [finding.standing for finding in findings[:4]] == [
        Standing.UNCHANGED,  # inode 0, as recorded
        Standing.NEW,
        Standing.CHANGED,
        Standing.NEW,
    ]


# ------------------------------------------------------------ outputs


def _written(log: Path, *, target: str = "a.out", temporary: str = ".a.out.1.7") -> Written:
    return Written(log.with_name(target), log.with_name(temporary), 3, "sum")


def test_an_output_that_is_gone_is_made_again(ledger: Ledger, log: Path) -> None:
    """Not published, so that what is there is an older one; of another size, or removed: its input is read again."""
    output = _written(log)
    output.target.write_bytes(b"abc")
    ran(ledger, log, outputs=(output,))
    assert found(ledger, log).standing is Standing.CHANGED
    ledger.published([output.target])
    assert found(ledger, log).standing is Standing.UNCHANGED
    output.target.write_bytes(b"abcd")
    assert str(output.target) in found(ledger, log).why
    output.target.unlink()
    assert found(ledger, log).standing is Standing.CHANGED


def test_what_is_not_published_is_known_until_it_is(ledger: Ledger, log: Path) -> None:
    """Also to the next run, and when a repeated record says the same again; another temporary is another output."""
    output, later = _written(log), _written(log, temporary=".a.out.2.1")
    run = ran(ledger, log, outputs=(output,))
    assert ledger.unpublished() == [output]
    ledger.published([output.target])
    assert not ledger.unpublished()
    run = ledger.begin(RECIPE, "key", [Entry(log, identity(log))])
    ledger.record(run, [Done(0, outputs=(output,))])
    assert not ledger.unpublished()
    ledger.record(run, [Done(0, outputs=(later,))])
    assert ledger.unpublished() == [later]
    ledger.record(run, [Failed(0, "worse")])
    assert not ledger.unpublished()


def test_a_target_belongs_to_the_last_that_wrote_it(ledger: Ledger, log: Path) -> None:
    """Another recipe wrote over the output: what is remembered of the first is not true any more."""
    output = _written(log)
    output.target.write_bytes(b"abc")
    other = Recipe(function="mylogs:others", code="c9")
    ran(ledger, log, outputs=(output,))
    ran(ledger, log, recipe=other, outputs=(_written(log, temporary=".a.out.3.1"),))
    ledger.published([output.target])
    assert found(ledger, log, other).standing is Standing.UNCHANGED
    assert found(ledger, log).standing is Standing.NEW


# ------------------------------------------------------------ runs


def test_a_run_that_was_cut_off_is_found_with_its_plan(ledger: Ledger, log: Path, clock: ManualClock) -> None:
    """Which files, from where, in how many slices, and which of them have ended."""
    other, last = log.with_name("b.log"), log.with_name("c.log")
    entries = [
        Entry(log, identity(log), slices=3, start=4),
        Entry(other, identity(log), index=log.with_name("b.index")),
        Entry(last, identity(log), slices=2),
    ]
    run = ledger.begin(RECIPE, "some key", entries, settings={"split": 10})
    ledger.record(run, [Done(1, b"1")])
    ledger.close()
    with Ledger.open(ledger.path, clock) as again:
        assert again.unfinished() == [run]
        assert [(each.number, each.entry, each.first, each.ended) for each in again.planned(run)] == [
            (0, entries[0], 0, False),
            (1, entries[1], 3, True),
            (2, entries[2], 4, False),
        ]
        again.end(run)
        assert not again.unfinished()
        assert not list(again.planned(run))
        assert [each.path for each in again.remembered(RECIPE, [last, other])] == [other]


def test_a_new_run_gives_up_an_unfinished_one_of_its_recipe(ledger: Ledger, log: Path) -> None:
    """Whatever its code: both would record the same files. Runs of others stay."""
    entries = [Entry(log, identity(log))]
    other = ledger.begin(Recipe(function="mylogs:others", code="c1"), "other", entries)
    ledger.begin(RECIPE, "first", entries)
    second = ledger.begin(RECIPE.model_copy(update={"code": "c2"}), "second", entries)
    assert ledger.unfinished() == [other, second]


def test_a_long_plan_is_given_in_order(ledger: Ledger, log: Path) -> None:
    """Some at a time, none lost between."""
    was = identity(log)
    run = ledger.begin(RECIPE, "key", (Entry(log.with_name(str(number)), was) for number in range(1201)))
    assert [each.entry.path.name for each in ledger.planned(run)] == [str(number) for number in range(1201)]


def test_a_run_is_begun_whole_or_not_at_all(ledger: Ledger, log: Path) -> None:
    """A plan that breaks off, or names a file twice, leaves nothing; the ledger goes on."""
    entry = Entry(log, identity(log))
    with pytest.raises(ValueError, match=r"a\.log is planned twice"):
        ledger.begin(RECIPE, "key", [entry, entry])
    with pytest.raises(FileNotFoundError):
        ledger.begin(RECIPE, "key", (Entry(path, identity(path)) for path in (log, log.with_name("none"))))
    assert not ledger.unfinished()
    ran(ledger, log)


def test_what_is_recorded_together_is_kept_together(ledger: Ledger, log: Path) -> None:
    """A number that the run has not, and nothing of the call is kept."""
    run = ledger.begin(RECIPE, "key", [Entry(log, identity(log))])
    with pytest.raises(ValueError, match="no file 7"):
        ledger.record(run, [Done(0), Done(7)])
    assert not list(ledger.remembered(RECIPE, [log]))
    assert [each.ended for each in ledger.planned(run)] == [False]


def test_a_plan_may_be_made_while_files_are_compared(ledger: Ledger, log: Path) -> None:
    """Nothing of a long listing has to be held for it."""
    listing = [Seen.of(log, log.stat())]
    due = (each for each in ledger.compare(RECIPE, listing) if each.due)
    run = ledger.begin(RECIPE, "key", (Entry(each.seen.path, identity(each.seen.path)) for each in due))
    assert [each.entry.path for each in ledger.planned(run)] == [log]


def test_what_came_of_a_file_is_remembered(ledger: Ledger, log: Path) -> None:
    """Its value and its lines of the manifest, under this code alone."""
    ran(ledger, log, value=b"[1]", manifest=b'{"input": "a.log"}\n')
    (kept,) = ledger.remembered(RECIPE, [log.with_name("none"), log])
    assert (kept.path, kept.value, kept.manifest) == (log, b"[1]", b'{"input": "a.log"}\n')
    assert not list(ledger.remembered(RECIPE.model_copy(update={"code": "c2"}), [log]))


# ------------------------------------------------------------ whose it is


def test_a_second_run_is_refused_by_name(ledger: Ledger) -> None:
    """It is told which process has the ledger, where, and since when."""
    with pytest.raises(LedgerLocked, match=rf"in use by process {os.getpid()} on host .+ \(since 2023-11-14T22:13:20"):
        Ledger.open(ledger.path)


def test_over_a_network_the_name_in_the_lock_counts(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another host's lock can't be felt: until it says that it is done; one of this host is taken over."""
    ledger.close()
    Ledger.open(ledger.path).close()
    beside = Path(f"{ledger.path}.lock")
    beside.write_text('{"host": "elsewhere", "pid": 12, "since": "2023-11-14"}')
    Ledger.open(ledger.path).close()
    beside.write_text('{"host": "elsewhere", "pid": 12, "since": "2023-11-14"}')
    monkeypatch.setattr(lock, "is_remote", lambda _: True)
    with pytest.raises(LedgerLocked, match=r"process 12 on host elsewhere \(since 2023-11-14\)"):
        Ledger.open(ledger.path)
    monkeypatch.setattr(lock.socket, "gethostname", lambda: "elsewhere")
    Ledger.open(ledger.path, clock).close()
    assert beside.read_bytes() == b""


def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A folder, text, another program's database, a newer TaskGrid's."""
    (tmp_path / "text").write_bytes(b"not a database, " * 100)
    for name, pragma in (("other", "application_id = 7"), ("newer", "user_version = 99")):
        with Ledger.open(tmp_path / name):
            pass
        connection = sqlite3.connect(tmp_path / name)
        connection.execute(f"PRAGMA {pragma}")
        connection.close()
    for name, why in (
        (".", "is a folder"),
        ("text", "is damaged, or no ledger"),
        ("other", "database of another program"),
        ("newer", "has format 99"),
    ):
        before = (tmp_path / name).read_bytes() if name != "." else b""
        with pytest.raises(LedgerError, match=why):
            Ledger.open(tmp_path / name)
        assert name == "." or (tmp_path / name).read_bytes() == before
