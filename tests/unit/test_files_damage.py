"""Compressed files that are cut short or damaged: what can be read is, and it is never silently short."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from files_scene import PACKERS, read_what_can_be, records_in, slices_of, unpacked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskgrid.errors import FileCutShort, FileDamaged, FileError

COMPRESSED = sorted(set(PACKERS) - {"plain"})
SUFFIXES = {"gzip": ".gz", "bgzip": ".gz", "bzip2": ".bz2", "xz": ".xz", "zstd": ".zst"}
DATA = b"".join(b"%d %s\n" % (number * number, b"x" * (number % 40)) for number in range(120))


def _file(folder: Path, form: str, data: bytes) -> Path:
    path = folder / f"packed{SUFFIXES[form.split(maxsplit=1)[0]]}"
    path.write_bytes(data)
    return path


def _is_sound(form: str, data: bytes, kept: list[bytes]) -> bool:
    try:
        return records_in(unpacked(form, data)) == kept
    except Exception:  # noqa: BLE001  # each library has its own errors
        return False


def _is_run_of(records: list[bytes], whole: list[bytes]) -> bool:
    """Say whether records follow each other in the whole as they do here."""
    return not records or any(
        whole[at : at + len(records)] == records for at, each in enumerate(whole) if each == records[0]
    )


@pytest.mark.parametrize("form", COMPRESSED)
def test_a_file_cut_short_anywhere_is_reported(tmp_path: Path, form: str) -> None:
    """At whatever byte it ends: right records, then an error, unless what is left is a whole file."""
    packed = PACKERS[form](DATA, 900)
    whole = records_in(DATA)
    for size in range(1, len(packed)):
        path = _file(tmp_path, form, packed[:size])
        (only,) = slices_of(path, size)
        records, error = read_what_can_be(only)
        if error is None:
            assert _is_sound(form, packed[:size], records), size
        else:
            assert records == whole[: len(records)], size
            assert isinstance(error, FileDamaged)
            assert error.fields["path"] == str(path)
            assert 0 <= error.fields["offset"] <= size


@pytest.mark.parametrize("form", COMPRESSED)
def test_a_cut_file_in_slices_is_reported_too(tmp_path: Path, form: str) -> None:
    """Each slice gives right records in order, and at least one says that the file is cut short."""
    packed = PACKERS[form](DATA, 900)
    whole = records_in(DATA)
    for size in range(20, len(packed), 7):
        read = [read_what_can_be(piece) for piece in slices_of(_file(tmp_path, form, packed[:size]), 150)]
        records = [record for each, _ in read for record in each]
        if not _is_sound(form, packed[:size], records):
            assert all(_is_run_of(each, whole) for each, _ in read), size
            assert any(error for _, error in read), size


def test_what_a_cut_gzip_file_still_holds_is_given_out(tmp_path: Path) -> None:
    """Its one checksum never comes, but what was decoded before the cut is right."""
    packed = gzip.compress(DATA * 50)
    path = _file(tmp_path, "gzip", packed[: len(packed) // 2])
    records, error = read_what_can_be(slices_of(path, len(packed))[0])
    assert isinstance(error, FileCutShort)
    assert f"ends at byte {len(packed) // 2}" in str(error)
    assert len(records) > 1000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    form=st.sampled_from(COMPRESSED),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    split=st.integers(60, 900),
)
def test_a_flipped_bit_changes_no_record(tmp_path: Path, form: str, where: float, bit: int, split: int) -> None:
    """Every record that comes is one that was written; if any is missing, a slice says so.

    A flip that lets a unit run on to the file's end can't be told from a cut there: the slice says that
    the file is cut short, and what it gave of that unit had no checksum to hold.
    """
    packed = bytearray(PACKERS[form](DATA, 900))
    at = int(where * len(packed))
    packed[at] ^= 1 << bit
    whole = records_in(DATA)
    read = [read_what_can_be(piece) for piece in slices_of(_file(tmp_path, form, bytes(packed)), split)]
    assert all(_is_run_of(records, whole) for records, error in read if not isinstance(error, FileCutShort))
    assert any(error for _, error in read) or [record for records, _ in read for record in records] == whole


@pytest.mark.parametrize("form", COMPRESSED)
def test_bytes_after_the_end_are_reported_after_the_records(tmp_path: Path, form: str) -> None:
    """Trailing garbage hides no record, and is not passed over."""
    path = _file(tmp_path, form, PACKERS[form](DATA, 900) + b"garbage, a lot of it\n")
    for split in (200, 100_000):
        read = [read_what_can_be(piece) for piece in slices_of(path, split)]
        assert [record for records, _ in read for record in records] == records_in(DATA)
        assert any(isinstance(error, FileError) for _, error in read)


def test_nothing_of_a_damaged_block_is_given_out(tmp_path: Path) -> None:
    """A checksum that fails at a block's end takes back what was decoded of it: it was never given out."""
    members = [gzip.compress(b"%d of one\n" % number * 60_000, mtime=0) for number in range(4)]
    members[2] = members[2][:-8] + b"\0\0\0\0" + members[2][-4:]
    path = _file(tmp_path, "gzip", b"".join(members))
    records, error = read_what_can_be(slices_of(path, 10_000)[0])
    assert len(records) == 120_000
    assert isinstance(error, FileDamaged)
    assert error.fields["offset"] == len(members[0] + members[1])
    assert "check" in error.why


@pytest.mark.parametrize("form", COMPRESSED)
def test_damaged_first_bytes_are_not_taken_for_text(tmp_path: Path, form: str) -> None:
    """A file whose name says compressed and whose first bytes say nothing is damaged, not plain."""
    packed = PACKERS[form](DATA, 900)
    for at in range(3):
        path = _file(tmp_path, form, packed[:at] + b"\x07" + packed[at + 1 :])
        records, error = read_what_can_be(slices_of(path, 100_000)[0])
        assert not records
        assert isinstance(error, FileDamaged)


@pytest.mark.parametrize("suffix", sorted(set(SUFFIXES.values())))
def test_text_with_the_name_of_an_archive_is_text(tmp_path: Path, suffix: str) -> None:
    """The content decides: a proxy or a person may have unpacked it in its place."""
    path = tmp_path / f"plain{suffix}"
    path.write_bytes(DATA)
    assert list(slices_of(path, 100_000)[0]) == records_in(DATA)


def test_a_bzip2_stream_s_own_checksum_is_held_against_its_blocks(tmp_path: Path) -> None:
    """Each block may be sound and one be missing: then the stream's last four bytes say so."""
    packed = bytearray(PACKERS["bzip2"](DATA, 0))
    packed[-3] ^= 1
    records, error = read_what_can_be(slices_of(_file(tmp_path, "bzip2", bytes(packed)), 100_000)[0])
    assert records == records_in(DATA)
    assert isinstance(error, FileDamaged)
    assert "a block is missing" in str(error)
