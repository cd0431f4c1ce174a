"""Runs over files on a private grid: what is done, what is not done again, and what is left behind."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import files_tasks
import pytest

from taskgrid import Grid
from taskgrid.cli.over_files import carry_out
from taskgrid.errors import FunctionRefused, LedgerLocked, TooManyFailed, UsageError
from taskgrid.files.execution import Execution
from taskgrid.files.eyes import OwnEyes
from taskgrid.files.ledger import Ledger
from taskgrid.files.manifest import verify
from taskgrid.files.run import Run
from taskgrid.files.wish import Wish

LONG_AGO = 1_700_000_000


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """Give a private grid that all tests share."""
    with Grid.local(workers=2, path=[Path(__file__).parent]) as grid:
        yield grid


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Give a folder with numbers in files, also in a folder below, none of them written just now."""
    logs = tmp_path / "logs"
    write(logs / "a.log", range(1000))
    write(logs / "b.log", range(500))
    write(logs / "deep" / "c.log", range(2000))
    return logs


def write(path: Path, numbers: range, *, mode: str = "w", at: int = LONG_AGO) -> None:
    """Write numbers, a line each, as if long ago."""
    path.parent.mkdir(exist_ok=True, parents=True)
    with path.open(mode) as file:
        file.writelines(f"{number}\n" for number in numbers)
    os.utime(path, (at, at))


ALL = sum(range(1000)) + sum(range(500)) + sum(range(2000))


def test_a_slices_result_is_given_before_its_file_has_ended(grid: Grid, logs: Path, tmp_path: Path) -> None:
    """Where that is asked for: whoever searches a large file sees its first lines first. What fails fails alone."""
    go = tmp_path / "go"
    (logs / "b.log").write_text("1\n" * 600 + "bad\n" + "1\n" * 600)
    (logs / "c.log").symlink_to(tmp_path / "nowhere")
    wish = Wish(
        function=files_tasks.waits_behind,
        patterns=(logs / "*.log",),
        arguments={"path": str(go)},
        split="1KiB",
        by_name=True,
        as_found=True,
    )
    run = Run(grid._link, wish.settled(), grid.settings.max_payload_bytes)
    results = iter(run)
    first = next(results)
    assert (first.path.name, first.start, first.value > 0) == ("a.log", 0, True)
    assert not go.exists(), "its other slices have not ended"
    go.touch()
    rest = list(results)
    assert [(each.path.name, bool(each.error)) for each in rest if each.error or not each.start] == [
        ("b.log", False),
        ("b.log", True),
        ("c.log", True),
    ]
    assert sum(each.value for each in [first, *rest] if not each.error) > 1000 + 600
    assert [trouble.path.name for trouble in run.troubles] == ["b.log", "c.log"]
    assert [trouble.cause for trouble in run.troubles] == ["ValueError: bad", rest[-1].error]
    assert "No such file" in rest[-1].error
    assert (run.report.done, run.report.failed) == (1, 2)


def test_values_come_in_order_of_size_with_their_slices(grid: Grid, logs: Path) -> None:
    """Without a reduction each slice has its result, and together they have every record once."""
    run = grid.files(files_tasks.total, logs, split="2KiB")
    results = list(run)
    assert next(result.path.name for result in results) == "c.log"
    assert sum(result.value for result in results) == ALL
    assert run.report.records == 3500
    assert run.report.slices == len(results) > 3


@pytest.mark.parametrize(("reduce", "expected"), [("merge", ALL), (files_tasks.largest, 1999000)])
def test_a_reduction_gives_one_value(grid: Grid, logs: Path, reduce: object, expected: int) -> None:
    """By `+` or by a function; of a file that is one slice it is the slice's own."""
    split = "2KiB" if reduce == "merge" else "auto"
    assert grid.files(files_tasks.total, logs, split=split, reduce=reduce).result() == expected  # type: ignore[arg-type]  # as given


def test_seek_indexes_are_built_where_a_file_lacks_one(grid: Grid, tmp_path: Path) -> None:
    """Once, on a worker; then a gzip file of one member is cut. A damaged one fails by itself."""
    logs, indexes = tmp_path / "logs", tmp_path / "indexes"
    logs.mkdir()
    (logs / "a.gz").write_bytes(gzip.compress(b"".join(b"%d\n" % number for number in range(100_000))))
    whole = (logs / "a.gz").read_bytes()
    (logs / "damaged.gz").write_bytes(whole[:150_000] + b"?" * 10 + whole[150_010:])

    def sum_up() -> tuple[int, int, list[str]]:
        run = grid.files(files_tasks.total, logs, split="32KiB", indexes=indexes, reduce="merge")
        return run.result(), run.report.slices, [trouble.path.name for trouble in run.troubles]

    total, slices, troubles = sum_up()
    assert (total, troubles) == (sum(range(100_000)), ["damaged.gz"])
    assert slices > 3
    (built,) = indexes.iterdir()
    before = built.stat()
    assert sum_up() == (total, slices, troubles)
    assert built.stat().st_mtime_ns == before.st_mtime_ns


def test_what_is_done_is_not_done_again(grid: Grid, logs: Path, tmp_path: Path) -> None:
    """The second run reads nothing and says the same; a changed file is read again, a grown one from where it ended."""
    ledger = tmp_path / "ledger"

    def again() -> tuple[int, int, int]:
        run = grid.files(files_tasks.total, logs, reduce="merge", ledger=ledger)
        return run.result(), run.report.done, run.report.bytes

    first = again()
    assert first[:2] == (ALL, 3)
    assert again() == (ALL, 0, 0)
    write(logs / "a.log", range(1000, 1010), mode="a", at=LONG_AGO + 10)
    assert again() == (ALL + sum(range(1000, 1010)), 1, len("1000\n") * 10)
    write(logs / "b.log", range(3), at=LONG_AGO + 20)
    assert again()[:2] == (ALL + sum(range(1000, 1010)) - sum(range(500)) + 3, 1)
    assert again()[1] == 0


def test_outputs_are_named_as_their_inputs_and_the_manifest_knows_them(grid: Grid, logs: Path, tmp_path: Path) -> None:
    """One output per input, checked against its checksum; what somebody changed is found, and written again."""
    out = tmp_path / "out"

    def again() -> int:
        run = grid.files(files_tasks.doubled, [logs], out=out, suffix=".x2", reduce="merge")
        assert run.result() == 3500
        return run.report.done

    assert again() == 3
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.name.startswith(".taskgrid")}
    assert names == {"a.log.x2", "b.log.x2", "deep", "deep/c.log.x2", "manifest.jsonl"}
    assert (out / "b.log.x2").read_text() == "".join(f"{2 * number}\n" for number in range(500))
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [Path(row["input"]).name for row in rows] == ["c.log", "a.log", "b.log"]
    assert rows[2]["checksum"] == hashlib.sha256((out / "b.log.x2").read_bytes()).hexdigest()
    assert list(verify(out / "manifest.jsonl")) == [None] * 3
    (out / "b.log.x2").write_text("spoilt")
    assert [found.output.name for found in verify(out / "manifest.jsonl") if found] == ["b.log.x2"]
    assert again() == 1
    assert list(verify(out / "manifest.jsonl")) == [None] * 3


def test_values_go_to_a_file_each_or_to_one_file(grid: Grid, logs: Path, tmp_path: Path) -> None:
    """A folder gets a `.json` per input, merged from its slices; a file gets all, as lines or as one value."""
    out = tmp_path / "out"
    list(grid.files(files_tasks.total, logs, out=f"{out}/", split="2KiB", reduce="merge"))
    assert json.loads((out / "deep" / "c.log.json").read_text()) == sum(range(2000))
    assert list(verify(out / "manifest.jsonl")) == [None] * 3
    lines = tmp_path / "lines.jsonl"
    list(grid.files(files_tasks.total, logs, out=lines))
    assert [json.loads(line)["value"] for line in lines.read_text().splitlines()] == [1999000, 499500, 124750]
    list(grid.files(files_tasks.total, logs, out=lines, reduce="merge"))
    assert json.loads(lines.read_text()) == ALL
    assert list(verify(tmp_path / "lines.jsonl.manifest.jsonl")) == [None]


def test_a_file_that_fails_harms_no_other_and_stays_in_quarantine(grid: Grid, logs: Path, tmp_path: Path) -> None:
    """It is named with its cause, not tried again until somebody asks, and then counts."""
    write(logs / "poison.log", range(2))
    (logs / "poison.log").write_text("x\n")
    os.utime(logs / "poison.log", (LONG_AGO, LONG_AGO))

    def again(rerun: str = "changed") -> tuple[int, int, list[str]]:
        run = grid.files(files_tasks.total, logs, reduce="merge", ledger=tmp_path / "ledger", rerun=rerun)
        return run.result(), run.report.done, [f"{each.path.name}: {each.cause}" for each in run.troubles]

    value, done, (trouble,) = again()
    assert (value, done) == (ALL, 3)
    assert trouble.startswith("poison.log: ValueError: invalid literal")
    value, done, (trouble,) = again()
    assert (value, done) == (ALL, 0)
    assert trouble.startswith("poison.log: in quarantine: ValueError")
    write(logs / "poison.log", range(3))
    assert again("failed") == (ALL + 3, 1, [])


def test_a_run_stops_when_too_many_files_fail_and_goes_on_later(grid: Grid, logs: Path, tmp_path: Path) -> None:
    """What is done is kept; what was taken back is new to the next run."""
    for number in range(4):
        (logs / f"poison-{number}.log").write_text("x\n" * 5000)
        os.utime(logs / f"poison-{number}.log", (LONG_AGO, LONG_AGO))
    ledger = tmp_path / "ledger"
    with pytest.raises(TooManyFailed):
        grid.files(files_tasks.total, logs, reduce="merge", ledger=ledger, max_fails=1).result()
    run = grid.files(files_tasks.total, logs, reduce="merge", ledger=ledger, max_fails="80%")
    assert run.result() == ALL
    assert run.report.failed == 4


def test_bad_records_are_left_out_kept_aside_or_errors(grid: Grid, tmp_path: Path) -> None:
    """A sidecar has each with its path and offset, whichever slice it was in."""
    source, out = tmp_path / "logs" / "a.log", tmp_path / "out"
    source.parent.mkdir()
    lines = [f"{number}\n" if number % 100 else f"bad {number}\n" for number in range(1, 1001)]
    source.write_text("".join(lines))
    good = sum(number for number in range(1, 1001) if number % 100)
    run = grid.files(files_tasks.careful_total, source, split="1KiB", reduce="merge")
    assert (run.result(), run.report.bad) == (good, 10)
    run = grid.files(files_tasks.careful_total, source, split="1KiB", reduce="merge", out=f"{out}/", bad="sidecar")
    assert run.result() == good
    kept = [json.loads(line) for path in out.glob("*.bad.jsonl") for line in path.read_text().splitlines()]
    assert len(kept) == 10
    data = source.read_text()
    assert all(data[each["offset"] :].startswith(each["record"]) for each in kept)
    assert {each["why"] for each in kept} == {"no number"}
    with pytest.raises(TooManyFailed, match="1 of 1 files"):
        grid.files(files_tasks.careful_total, source, reduce="merge", bad="fail").result()


def test_two_inputs_with_one_target_are_refused(grid: Grid, logs: Path, tmp_path: Path) -> None:
    """Before anything is sent, by the names of both."""
    write(logs / "other" / "a.log", range(3))
    run = grid.files(files_tasks.doubled, [logs / "a.log", logs / "other" / "a.log"], out=tmp_path / "out")
    with pytest.raises(UsageError, match=r"would both be written to .*a\.log"):
        list(run)


def test_a_second_run_over_a_ledger_is_refused_while_the_first_goes_on(grid: Grid, logs: Path, tmp_path: Path) -> None:
    """By the name of who has it."""
    with Ledger.open(tmp_path / "ledger"), pytest.raises(LedgerLocked, match=str(os.getpid())):
        list(grid.files(files_tasks.total, logs, ledger=tmp_path / "ledger"))


def test_a_run_that_was_left_early_is_cancelled_and_its_files_are_new_again(
    grid: Grid, logs: Path, tmp_path: Path
) -> None:
    """What came is kept; what was taken back has not failed."""
    ledger = tmp_path / "ledger"
    run = grid.files(files_tasks.patient_total, logs, reduce="merge", ledger=ledger)
    assert next(iter(run)).path.name == "c.log"
    run.close()
    for folder in (logs, logs / "deep"):
        (folder / "gate").touch()
    again = grid.files(files_tasks.patient_total, [f"{logs}/**/*.log"], reduce="merge", ledger=ledger)
    assert again.result() == ALL
    assert (again.report.done, again.report.unchanged, again.troubles) == (2, 1, [])


def test_a_function_that_no_run_can_call_is_refused(grid: Grid) -> None:
    """Before anything is listed."""
    with pytest.raises(FunctionRefused, match="is no FileSlice"):
        grid.files(files_tasks.no_slice, "nowhere")
    with pytest.raises(UsageError, match="greedy needs a value for more"):
        grid.files(files_tasks.greedy, "nowhere")


def test_a_function_is_given_its_arguments(grid: Grid, logs: Path, tmp_path: Path) -> None:
    """With other ones the same files are read again, and what is remembered of the first stays."""
    ledger = tmp_path / "ledger"

    def longer(more: int) -> tuple[int, int]:
        run = grid.files(files_tasks.greedy, logs, arguments={"more": more}, reduce="merge", ledger=ledger)
        return run.result(), run.report.done

    size = sum(path.stat().st_size for path in logs.rglob("*.log"))
    assert [longer(1), longer(2), longer(1)] == [(size + 3, 3), (size + 6, 3), (size + 3, 0)]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"out": "there", "split": "1KiB"},
        {"out": "there", "bad": "sometimes"},
        {"out": "there", "max_fails": "few"},
    ],
)
def test_what_can_not_be_together_is_refused(grid: Grid, how: dict[str, object]) -> None:
    """Outputs need a place, one output needs a whole file."""
    with pytest.raises(UsageError):
        grid.files(files_tasks.doubled, "nowhere", **how)  # type: ignore[arg-type]  # as given


def test_a_round_of_a_watch_looks_once_and_leaves_what_is_written_if_nothing_is_new(
    grid: Grid, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Files are listed once per round, whether one of them is read or not; nothing new is nothing said."""
    looks: list[object] = []
    listing = OwnEyes.listing

    def counted(self: OwnEyes, *given: Any, **how: Any) -> Any:
        looks.append(given)
        return listing(self, *given, **how)

    monkeypatch.setattr(OwnEyes, "listing", counted)
    out = tmp_path / "results"
    settled = Wish(files_tasks.total, (logs,), reduce="merge", ledger=tmp_path / "ledger", out=out).settled()

    def go_on() -> tuple[int, int, str]:
        looks.clear()
        report = carry_out(grid._link, settled, grid.settings.max_payload_bytes, only_news=True)
        return len(looks), report.done, capfd.readouterr().err

    assert go_on()[:2] == (1, 3)
    written = out.stat()
    assert go_on() == (1, 0, "")
    assert (out.stat().st_ino, sorted(path.name for path in tmp_path.iterdir())) == (
        written.st_ino,
        [".taskgrid.results.manifest.jsonl.lock", "ledger", "ledger.lock", "logs", "results", "results.manifest.jsonl"],
    )
    write(logs / "new.log", range(10))
    assert go_on()[:2] == (1, 1)
    assert out.read_text() == f"{ALL + 45}\n"
    write(logs / "newer.log", range(11))
    monkeypatch.setattr(Execution, "cancel", lambda _: False)  # a run that was killed cancels nothing
    killed = Run(grid._link, settled, grid.settings.max_payload_bytes)
    next(iter(killed))
    killed.close()
    assert out.read_text() == f"{ALL + 45}\n"
    go_on()
    assert out.read_text() == f"{ALL + 45 + 55}\n", "what the killed run has read was written nowhere"
