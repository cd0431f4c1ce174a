"""Planning reads sizes, beginnings and indexes; seek indexes let a gzip file of one member be cut."""

from __future__ import annotations

import gzip
import random
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from files_scene import PACKERS, read, read_what_can_be, slices_of

from taskgrid.errors import FileDamaged, UsageError
from taskgrid.files import build_index, members, plan, seek_index, sees, unindexed
from taskgrid.files.stored import Stored
from taskgrid.functions.offers import Offers


def _lines(size: int) -> bytes:
    source = random.Random(3)
    lines = [b"%x\n" % source.getrandbits(source.randrange(8, 1200)) for _ in range(size // 150)]
    return b"".join(lines)


DATA = _lines(600_000)


@pytest.fixture
def indexes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder for seek indexes, with points every 50 kB."""
    monkeypatch.setattr(seek_index, "_SPACING", 50_000)
    folder = tmp_path / "indexes"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("form", "count"),
    [
        ("plain", 7),
        ("gzip members", 7),
        ("bgzip", 7),
        ("bzip2", 7),
        ("xz streams", 7),
        ("zstd frames", 7),
        ("gzip", 1),
        ("xz", 1),
        ("zstd", 1),
    ],
)
def test_what_can_be_entered_in_its_middle_is_cut(tmp_path: Path, form: str, count: int) -> None:
    """By equal shares of its stored bytes; what can't is one slice."""
    path = tmp_path / "file"
    path.write_bytes(PACKERS[form](DATA, 20_000))
    size = path.stat().st_size
    pieces = list(plan(path, size // 7 + 1))
    assert len(pieces) == count
    assert (pieces[0].start, pieces[-1].end) == (0, size)
    assert all(one.end == other.start for one, other in pairwise(pieces))
    assert [(piece.start, piece.end) for piece in plan(path, "none")] == [(0, size)]
    assert [(piece.start, piece.end) for piece in plan(path)] == [(0, size)]


def test_planning_is_lazy_and_reads_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is looked at when its turn comes, and its data is not read."""
    count = 0
    true = Stored.read

    def counting(self: Stored, at: int, size: int) -> bytes:
        nonlocal count
        count += size
        return true(self, at, size)

    monkeypatch.setattr(Stored, "read", counting)
    path = tmp_path / "a.log"
    path.write_bytes(DATA)
    pieces = plan([path, tmp_path / "missing.log"], 1000)
    assert count == 0
    assert next(pieces).start == 0
    assert count <= 8 << 10
    with pytest.raises(FileNotFoundError):
        list(pieces)


@pytest.mark.parametrize("split", [0, -1, "0", "few", "12 parsecs"])
def test_a_split_that_is_no_size_is_refused(tmp_path: Path, split: int | str) -> None:
    """At once, before any file is looked at."""
    with pytest.raises(UsageError):
        plan(tmp_path / "missing", split)


def test_an_indexed_gzip_file_is_cut(tmp_path: Path, indexes: Path) -> None:
    """One long member, with its index: slices that share its records, none of which decodes from the beginning."""
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(DATA))
    assert list(unindexed(path, 20_000, indexes=indexes)) == [path]
    assert len(list(plan(path, 20_000, indexes=indexes))) == 1
    place = build_index(path, indexes)
    assert list(unindexed(path, 20_000, indexes=indexes)) == []
    pieces = list(plan(path, 20_000, indexes=indexes))
    assert len(pieces) > 10
    assert read(pieces) == DATA.splitlines(keepends=True)
    assert sum(bool(piece.read_bytes()) for piece in pieces) > 5
    assert {piece.index for piece in pieces} == {place}
    assert [file.name for file in indexes.iterdir()] == [place.name]


@pytest.mark.parametrize("split", [777, 10_000])
def test_an_index_serves_members_of_any_length(tmp_path: Path, indexes: Path, split: int) -> None:
    """Empty ones, padded ones, stored ones: points lie at bits, and at members' beginnings."""
    members_of = [gzip.compress(DATA[:200_000]), b"\0" * 99, gzip.compress(b""), gzip.compress(DATA[200_000:], 1)]
    path = tmp_path / "a.gz"
    path.write_bytes(b"".join(members_of))
    place = build_index(path, indexes)
    assert read(slices_of(path, split, index=place)) == DATA.splitlines(keepends=True)


def test_an_index_is_built_once(tmp_path: Path, indexes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And anew for a file that changed; a spoilt index counts as none."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(DATA))
    place = build_index(path, indexes)
    with monkeypatch.context() as patch:
        patch.setattr(seek_index, "_points", None)
        assert build_index(path, indexes) == place
    good = place.read_bytes()
    place.write_bytes(good[:200] + b"?" + good[201:])
    assert build_index(path, indexes) == place
    assert place.read_bytes() == good
    path.write_bytes(gzip.compress(DATA + b"more\n"))
    assert list(unindexed(path, 20_000, indexes=indexes)) == [path]
    assert build_index(path, indexes) != place


@pytest.mark.parametrize("cut", [-1, -9, -30_000])
def test_a_damaged_gzip_file_gets_no_index(tmp_path: Path, indexes: Path, cut: int) -> None:
    """It is checked to its end before an index says where to begin in it."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(DATA)[:cut])
    with pytest.raises(FileDamaged):
        build_index(path, indexes)
    assert list(indexes.iterdir()) == []


def test_damage_inside_an_indexed_file_harms_the_slices_around_it(tmp_path: Path, indexes: Path) -> None:
    """Each span has its own checksum: other slices have all their records, and no record is a wrong one."""
    packed = bytearray(gzip.compress(DATA))
    path = tmp_path / "a.gz"
    path.write_bytes(packed)
    place = build_index(path, indexes)
    packed[len(packed) // 2] ^= 16
    path.write_bytes(packed)
    results = [read_what_can_be(piece) for piece in slices_of(path, 40_000, index=place)]
    whole = set(DATA.splitlines(keepends=True))
    assert 1 <= sum(isinstance(error, FileDamaged) for _, error in results) <= 2
    assert all(record in whole for records, _ in results for record in records)
    assert sum(len(records) for records, _ in results) > len(whole) // 2


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a Python without the extra `files`."""
    for name in ("isal", "isal.isal_zlib", "backports", "backports.zstd", "compression.zstd", "indexed_gzip"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("bare")
def test_the_core_reads_all_but_zstd_without_the_extra(tmp_path: Path, indexes: Path) -> None:
    """What is missing is named with what to install, as an ImportError: another host may have it."""
    assert members.inflater().__name__ == "zlib"
    for form in ("gzip members", "bgzip", "bzip2", "xz streams"):
        path = tmp_path / form
        path.write_bytes(PACKERS[form](DATA, 20_000))
        assert read(plan(path, 30_000)) == DATA.splitlines(keepends=True)
    path = tmp_path / "zstd"
    path.write_bytes(PACKERS["zstd"](DATA, 0))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'taskgrid\[files\]'"):
        read(plan(path))
    path = tmp_path / "gzip members"
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'taskgrid\[files\]'"):
        build_index(path, indexes)


def test_a_machine_says_whether_it_sees_a_place(tmp_path: Path) -> None:
    """With its name, and why not: asked of each worker before slices are handed out."""
    assert sees(tmp_path).why_not == "it is empty here"
    (tmp_path / "a.log").touch()
    for place in (tmp_path, tmp_path / "a.log"):
        sight = sees(place)
        assert sight.host
        assert not sight.why_not
    assert "No such file" in sees(tmp_path / "missing").why_not


def test_a_worker_offers_few_functions_of_files() -> None:
    """What reads and plans is a library, not offered by name to whoever holds a key."""
    looking = [f"taskgrid.files.looking:{name}" for name in ("cut_files", "grown_since", "list_files")]
    assert Offers.of(["taskgrid.files"]).names() == [*looking, "taskgrid.files:build_index", "taskgrid.files:sees"]
