"""The slices of a file have every record exactly once, in order, whatever it is made of."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from files_scene import PACKERS, bgzip, contents, kinds, read, records_in, slices_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from taskgrid.errors import RecordTooLong, UsageError
from taskgrid.files import FileSlice, plan, slices, snap

FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


def _lines(size: int, *, seed: int = 7) -> bytes:
    source = random.Random(seed)
    lines = []
    while size > 0:
        lines.append(f"{source.getrandbits(24):x} {source.getrandbits(source.randrange(8, 900)):x}\n".encode())
        size -= len(lines[-1])
    return b"".join(lines)


@FILES
@given(data=contents, kind=kinds, split=st.integers(1, 400))
def test_slices_of_a_plain_file_have_each_record_once(
    tmp_path: Path, data: bytes, kind: tuple[str, str | None], split: int
) -> None:
    """Whatever the separator and the split size: records longer than a slice, no last newline, no record at all."""
    separator, begins = kind
    path = tmp_path / "plain.log"
    path.write_bytes(data)
    assert read(plan(path, split, separator=separator, begins=begins)) == records_in(data, separator, begins)


@FILES
@given(
    data=contents,
    kind=kinds,
    form=st.sampled_from(sorted(PACKERS)),
    unit=st.integers(1, 200),
    split=st.integers(1, 2000),
)
@example(data=b"\na", kind=("\n", None), form="xz", unit=1, split=1)  # a slice between the first block and its header
def test_slices_of_a_compressed_file_have_each_record_once(
    tmp_path: Path, data: bytes, kind: tuple[str, str | None], *, form: str, unit: int, split: int
) -> None:
    """Whatever the format, where its units end, and where slices begin in their stored bytes."""
    separator, begins = kind
    path = tmp_path / "packed"
    packed = PACKERS[form](data, unit)
    path.write_bytes(packed)
    split = max(split, len(packed) // 100)  # each slice looks through all indexes: thousands would take minutes
    assert read(slices_of(path, split, separator=separator, begins=begins)) == records_in(data, separator, begins)


@FILES
@given(data=contents, kind=kinds, split=st.integers(1, 400), block=st.integers(1, 50), line=st.integers(1, 50))
def test_the_size_of_what_is_read_at_once_changes_nothing(
    tmp_path: Path, data: bytes, kind: tuple[str, str | None], *, split: int, block: int, line: int
) -> None:
    """A separator, a line or a record may lie across any number of reads."""
    separator, begins = kind
    path = tmp_path / "plain.log"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "_BLOCK", block + line)
        patch.setattr(slices, "_LINE", line)
        assert read(plan(path, split, separator=separator, begins=begins)) == records_in(data, separator, begins)


@pytest.mark.parametrize("form", sorted(PACKERS))
@pytest.mark.parametrize("split", [100_000, 7_777])
def test_large_files_are_shared_by_their_slices(tmp_path: Path, form: str, split: int) -> None:
    """With many blocks per slice and many slices per block; each way to read gives the same bytes."""
    data = _lines(700_000)
    path = tmp_path / "packed"
    path.write_bytes(PACKERS[form](data, 30_000))
    pieces = slices_of(path, split)
    assert read(pieces) == data.splitlines(keepends=True)
    assert b"".join(piece.read_bytes() for piece in pieces) == data
    assert all(block.endswith(b"\n") for piece in pieces for block in piece.blocks())
    several = form not in {"gzip", "xz", "zstd"}
    assert (sum(bool(piece.read_bytes()) for piece in pieces) > 1) == several


def test_a_bzip2_mark_in_the_data_is_no_block(tmp_path: Path) -> None:
    """The 48 bits that begin a block can be data: its own end is found all the same, and no slice begins there."""
    from taskgrid.files import bzip2

    packed = PACKERS["bzip2"](_lines(600_000), 0)
    path = tmp_path / "packed"
    path.write_bytes(packed)
    true = bzip2._marks
    found: list[int] = []

    def lying(stored: bzip2.Stored, start: int, end: int, marks: tuple[int, ...]):  # noqa: ANN202
        for bit in true(stored, start, end, marks):
            found.append(bit)
            yield from (each for each in (bit - 4001, bit - 17) if each >= start)
            yield bit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bzip2, "_marks", lying)
        assert read(slices_of(path, 60_000)) == _lines(600_000).splitlines(keepends=True)
    assert len(set(found)) > 5


@pytest.mark.parametrize("inner", ["gzip members", "bgzip"])
def test_an_archive_inside_an_archive_is_data(tmp_path: Path, inner: str) -> None:
    """Members of a gzip file that another one stores as it is are whole and sound, and still no members of it."""
    inside = PACKERS[inner](_lines(200_000), 4_000)
    stored = bytes(byte for byte in inside)
    outer = [_stored_member(stored[:150_000] + b"\n"), _stored_member(_lines(30_000) + stored + b"\n")] * 2
    path = tmp_path / "outer.gz"
    path.write_bytes(b"".join(outer))
    expected = b"".join([stored[:150_000] + b"\n", _lines(30_000) + stored + b"\n"] * 2)
    for split in (1_000, 9_999, 40_000):
        assert b"".join(piece.read_bytes() for piece in slices_of(path, split)) == expected


def _stored_member(data: bytes) -> bytes:
    import gzip

    return gzip.compress(data, 0, mtime=0)


def test_a_zstd_archive_inside_another_is_data(tmp_path: Path) -> None:
    """Frames that a frame stores as they are, are no frames of the file."""
    inside = PACKERS["zstd frames"](_lines(300_000), 4_000)
    data = inside + b"\n" + _lines(30_000)
    path = tmp_path / "outer.zst"
    path.write_bytes(PACKERS["zstd frames"](data * 2, len(data)))
    for split in (3_000, 40_000):
        assert b"".join(piece.read_bytes() for piece in slices_of(path, split)) == data * 2


def test_an_empty_file_has_one_slice_without_records(tmp_path: Path) -> None:
    """So that a run knows of it, and a per-file result exists."""
    path = tmp_path / "empty.log"
    path.touch()
    (only,) = plan(path)
    assert list(only) == list(only.blocks()) == []


def test_a_record_without_an_end_is_refused_before_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read as lines by mistake fails with the reason; a slice that only skips it does not."""
    monkeypatch.setattr(snap, "LONGEST_RECORD", 1 << 20)
    path = tmp_path / "binary.log"
    path.write_bytes(b"x" * (3 << 20) + b"\nlast\n")
    first, *others, last = plan(path, "1MiB")
    with pytest.raises(RecordTooLong, match="longer than"):
        list(first)
    assert read(others) == []
    assert list(last) == [b"last\n"]


def test_text_is_decoded_by_record(tmp_path: Path) -> None:
    """Encoding and error policy are the caller's; an encoding in which records can't be told is refused."""
    path = tmp_path / "text.log"
    path.write_bytes("grün\r\nrot\n".encode("latin-1"))
    (only,) = plan(path)
    assert list(only.text("latin-1")) == ["grün\r\n", "rot\n"]
    assert list(only.text(errors="replace")) == ["gr�n\r\n", "rot\n"]
    with pytest.raises(UnicodeDecodeError):
        list(only.text())
    with pytest.raises(UsageError, match="utf-16"):
        only.text("utf-16")


def test_a_slice_travels_as_json(tmp_path: Path) -> None:
    """What a task gets is what was planned."""
    path = tmp_path / "a.log"
    path.write_bytes(b"one\0two")
    for piece in plan(path, 3, separator="\0"):
        assert FileSlice.model_validate_json(piece.model_dump_json()) == piece


@pytest.mark.parametrize(("separator", "begins"), [("", None), ("aa", None), ("aba", None), ("\n", "(")])
def test_records_that_cannot_be_told_are_refused(tmp_path: Path, separator: str, begins: str | None) -> None:
    """An empty separator, one that overlaps itself, a broken pattern: said when planning, before any file is opened."""
    with pytest.raises(UsageError):
        plan(tmp_path / "none", separator=separator, begins=begins)


def test_bgzip_is_written_as_bgzip_writes_it() -> None:
    """The scene's own blocks are read by Python's gzip."""
    import gzip

    assert gzip.decompress(bgzip(b"abc" * 1000, 500)) == b"abc" * 1000
