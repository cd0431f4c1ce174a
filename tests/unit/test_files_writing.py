"""What a task over files is given and leaves: outputs, counted records, bad ones with their place, listed files."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from files_scene import slices_of
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.errors import BadRecord, FunctionRefused, OutputLost, UsageError
from taskgrid.files import FileSlice, Output
from taskgrid.files.calling import carried
from taskgrid.files.closing import publish, sweep
from taskgrid.files.listing import listed
from taskgrid.files.output import Written, checksum_of, temporary_of
from taskgrid.files.reading import Noted, Notes
from taskgrid.functions import Runner
from taskgrid.functions.conventions import called_through
from taskgrid.functions.current import LEFT, set_lease


@pytest.fixture(autouse=True)
def _lease() -> None:
    """Work under a lease."""
    set_lease("1.2.ab", "w")
    LEFT.clear()


def read_all(piece: FileSlice, out: Output) -> int:
    """Write what is read."""
    with out.open("w", encoding="utf-8") as file:
        return sum(file.write(line) for line in piece.text())


def break_off(piece: FileSlice, out: Output) -> int:
    """Fail in the middle of writing."""
    out.open().write(piece.read_bytes())
    raise ValueError("enough")


def write_nothing(piece: FileSlice, out: Output) -> str:
    """Leave the output alone."""
    return f"{piece.end} bytes and no {out.path.name}"


def run(function: Callable[..., Any], piece: FileSlice, *others: object) -> Any:
    """Call a function as a task process does; return its outcome, or the failure's text."""
    with Runner(carried(function)) as runner:
        line = runner.run(b"[%b%b" % (piece.model_dump_json().encode(), json.dumps([None, *others])[5:].encode()))
    return line.decode() if line.startswith(b"!") else json.loads(line)


def one_slice(path: Path, content: str = "a\nbb\n") -> FileSlice:
    """Write a file and return it as one slice."""
    path.write_text(content)
    (piece,) = slices_of(path, 1 << 20)
    return piece


def test_an_output_is_seen_only_when_it_is_published(tmp_path: Path) -> None:
    """The outcome says what was written; the temporary beside the target is named by the lease's token."""
    target = tmp_path / "deep" / "out.txt"
    done = run(read_all, one_slice(tmp_path / "in"), str(target))
    temporary = target.with_name(".out.txt.1.2.ab.part")
    assert [path.name for path in target.parent.iterdir()] == [temporary.name]
    assert done["value"] == done["written"]["bytes"] == 5
    assert done["written"]["checksum"] == hashlib.sha256(b"a\nbb\n").hexdigest() == checksum_of(temporary)[1]
    assert [(temporary, target)] == LEFT
    publish(Written.model_validate(done["written"]))
    assert target.read_text() == "a\nbb\n"


def test_a_task_that_fails_leaves_no_output(tmp_path: Path) -> None:
    """Nor does one that never opens it."""
    piece = one_slice(tmp_path / "in")
    assert "enough" in run(break_off, piece, str(tmp_path / "out"))
    assert run(write_nothing, piece, str(tmp_path / "out"))["written"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert LEFT == []


def test_an_output_is_written_once_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    """Its checksum is of bytes in their order."""
    out = Output(path=tmp_path / "out")
    with pytest.raises(UsageError):
        out.open("r+b")  # type: ignore[call-overload]  # that is the point
    with out.open() as file:
        assert not file.seekable()
        file.write(b"x" * 600_000)
    with pytest.raises(UsageError):
        out.open()
    written = out.finish()
    assert written is not None
    assert checksum_of(written.temporary) == (600_000, written.checksum)


def test_what_was_lost_after_its_commit_is_said(tmp_path: Path) -> None:
    """Neither under its name nor beside it: nobody may take the run for complete."""
    target = tmp_path / "out"
    lost = Written(temporary=temporary_of(target, "1.2.ab"), target=target, bytes=3, checksum="")
    with pytest.raises(OutputLost):
        publish(lost)
    target.write_text("else")
    with pytest.raises(OutputLost):
        publish(lost)
    target.write_text("abc")
    publish(lost)


def test_sweeping_removes_temporaries_of_the_run_and_nothing_else(tmp_path: Path) -> None:
    """Also those of bad records; another's temporaries and files with like names stay."""
    goes = [f".a.txt{name}.part" for name in (".1.2.ab", ".9.1.ff", ".bad.jsonl.1.2.ab", ".77.bad.jsonl.1.2.ab")]
    stays = ["a.txt", ".b.txt.1.2.ab.part", ".a.txt.part", "a.txt.1.2.ab.part", ".a.txt.x.1.2.ab.part"]
    for name in (*goes, *stays):
        (tmp_path / name).touch()
    sweep([tmp_path / "a.txt", tmp_path / "nowhere" / "a.txt", None])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stays)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["good\n", "bad\n", "bad too\n"]), min_size=1, max_size=60), st.integers(1, 90))
def test_bad_records_are_found_where_they_lie(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], size: int
) -> None:
    """Whatever the slices, each bad record has the offset at which the file has it, and every record is counted."""
    path = tmp_path_factory.mktemp("bad") / "in"
    path.write_text("".join(lines))
    offsets, records = [], 0
    for piece in slices_of(path, size):
        aside = path.with_name(f"aside-{piece.start}")
        notes = Notes(aside=aside)
        noted = Noted.of(piece, notes)
        for line in noted.text():
            if line.startswith("bad"):
                noted.bad(line, "so it says")
        records += notes.records or 0
        written = notes.finish()
        if written is not None:
            offsets += [json.loads(line)["offset"] for line in written.temporary.read_text().splitlines()]
            written.temporary.unlink()
        assert notes.bad == (0 if written is None else notes.bad)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    assert offsets == [start for start, line in zip(starts, lines, strict=True) if line.startswith("bad")]
    assert records == len(lines)


def test_a_bad_record_is_an_error_where_nobody_says_otherwise(tmp_path: Path) -> None:
    """By itself, and in a run that is strict; in the middle of a compressed file its place is not known."""
    piece = one_slice(tmp_path / "in")
    with pytest.raises(BadRecord):
        piece.bad(b"a\n")
    with pytest.raises(BadRecord):
        Noted.of(piece, Notes(strict=True)).bad("a\n", "why")
    (tmp_path / "in.gz").write_bytes(gzip.compress(b"a\nbad\n"))
    (packed,) = slices_of(tmp_path / "in.gz", 1 << 20)
    notes = Notes()
    noted = Noted.of(packed, notes)
    for line in noted:
        noted.bad(line)
    assert [sample.offset for sample in notes.samples] == [0, 2]


def test_only_conventions_of_the_table_are_known() -> None:
    """A name from the wire leads nowhere else."""
    with pytest.raises(FunctionRefused, match="can't call a function through 'os'"):
        called_through("os", len)


def test_files_are_listed_once_the_largest_first(tmp_path: Path) -> None:
    """By folder, glob and name; hidden ones, and what the run writes itself, are left out."""
    for name, size in (("a.log", 1), ("b.log", 3), ("deep/c.log", 2), (".hidden.log", 9), ("out/d.log", 9)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    found = listed([tmp_path, f"{tmp_path}/*.log", tmp_path / "a.log"], without=[tmp_path / "out"])
    assert [each.relative.as_posix() for each in found] == ["b.log", "deep/c.log", "a.log"]
    deep = listed([f"{tmp_path}/**/*.log"], without=[tmp_path / "out"])
    assert [each.relative.as_posix() for each in deep] == ["b.log", "deep/c.log", "a.log"]
    (tmp_path / "c[1].log").touch()
    assert [each.relative.as_posix() for each in listed([tmp_path / "c[1].log"])] == ["c[1].log"]
    for nothing in ("nowhere.log", "*.nothing"):
        with pytest.raises(UsageError):
            listed([tmp_path / nothing])
