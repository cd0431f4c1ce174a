"""A slice is of the file that was planned, or it fails; and what is no file is refused."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskgrid.errors import FileChanged, UsageError
from taskgrid.files import Identity, plan
from taskgrid.files.stored import Stored

LINES = b"".join(b"line %d\n" % number for number in range(200_000))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file of 2 MB."""
    file = tmp_path / "a.log"
    file.write_bytes(LINES)
    return file


def _rewritten(path: Path, data: bytes) -> None:
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_001))


@pytest.mark.parametrize(
    ("data", "why"),
    [(LINES[:-5], "shrank"), (LINES[:-2] + b"!\n", "written to"), (b"other" + LINES, "first 4096 bytes")],
)
def test_a_file_that_changed_since_it_was_planned_is_not_read(path: Path, data: bytes, why: str) -> None:
    """Shorter, rewritten at the same size, or another file under its name."""
    (only,) = plan(path)
    _rewritten(path, data)
    with pytest.raises(FileChanged, match=why):
        list(only)


@pytest.mark.parametrize("data", [LINES[:1_500_000], LINES[:-2] + b"!\n", b"other" + LINES])
def test_a_file_that_changes_while_it_is_read_fails(path: Path, data: bytes) -> None:
    """At the end at the latest: what was read of it is no result."""
    (only,) = plan(path)
    lines = iter(only)
    next(lines)
    _rewritten(path, data)
    with pytest.raises(FileChanged):
        list(lines)


def test_damage_that_comes_of_a_rewrite_is_called_a_change(tmp_path: Path) -> None:
    """Bytes of two files in one stream can't be decoded; the cause is the rewrite."""
    import gzip

    path = tmp_path / "a.gz"
    path.write_bytes(b"".join(gzip.compress(os.urandom(50_000).hex().encode() + b"\n") for _ in range(20)))
    (only,) = plan(path)
    blocks = only.blocks()
    next(blocks)
    _rewritten(path, path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096))
    with pytest.raises(FileChanged):
        list(blocks)


def test_growth_is_no_change(path: Path) -> None:
    """What is appended after planning is not read: it belongs to the next plan."""
    pieces = list(plan(path, "1MiB"))
    lines = [iter(piece) for piece in pieces]
    first = next(lines[0])
    with path.open("ab") as file:
        file.write(b"new line\n")
    assert b"".join([first, *(line for each in lines for line in each)]) == LINES


def test_a_last_line_that_was_being_written_is_read_whole(path: Path) -> None:
    """Planned between two writes of one line: its record is read through its end, and nothing after it."""
    path.write_bytes(b"one\nhal")
    pieces = list(plan(path, 4))
    with path.open("ab") as file:
        file.write(b"f\nthree\n")
    assert [list(piece) for piece in pieces] == [[b"one\n"], [b"half\n"]]


def test_a_file_renamed_away_while_it_is_read_is_read_to_its_end(path: Path) -> None:
    """As a rotation does: the open file is still the one that was planned."""
    (only,) = plan(path)
    lines = iter(only)
    first = next(lines)
    path.rename(path.with_suffix(".1"))
    path.write_bytes(b"the next file\n")
    assert b"".join([first, *lines]) == LINES


def test_what_differs_from_machine_to_machine_is_not_compared(path: Path) -> None:
    """Another device number, another inode, an mtime as SMB or FAT round it: the same file."""
    (only,) = plan(path)
    found = only.identity
    elsewhere = {"device": found.device + 1, "inode": found.inode + 1, "mtime_ns": found.mtime_ns // 10**9 * 10**9}
    identity = Identity(**(found.model_dump() | elsewhere))
    assert list(only.model_copy(update={"identity": identity})) == LINES.splitlines(keepends=True)
    with pytest.raises(FileChanged), Stored(path) as stored:
        identity.model_copy(update={"mtime_ns": identity.mtime_ns - 10**9}).require(stored)


def test_a_symbolic_link_is_followed_and_keeps_its_name(path: Path) -> None:
    """The link is what other machines have; where it leads may differ there."""
    link = path.with_name("current.log")
    link.symlink_to(path.name)
    (only,) = plan(link)
    assert only.path == link
    assert only.read_bytes() == LINES


def test_paths_are_made_absolute(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker runs in another folder than the client."""
    monkeypatch.chdir(path.parent)
    assert [piece.path for piece in plan([path.name, Path(path.name)])] == [path, path]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A directory, a FIFO, a device: at once, and without waiting for a writer."""
    os.mkfifo(tmp_path / "fifo")
    for path, what in ((tmp_path, "a directory"), (tmp_path / "fifo", "a FIFO"), (Path("/dev/null"), "a device")):
        with pytest.raises(UsageError, match=what):
            list(plan(path))


def test_what_can_not_be_opened_says_so_in_python_s_own_words(path: Path) -> None:
    """A missing or forbidden file is an `OSError` with its name: the grid tries such a task on another host."""
    (only,) = plan(path)
    with _as_a_stranger(path), pytest.raises(PermissionError, match=r"a\.log"):
        list(only)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.log"):
        list(only)
    with pytest.raises(FileNotFoundError, match=r"a\.log"):
        list(plan(path))
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        with pytest.raises(OSError, match=r"a\.log"):
            list(plan(path))


@contextmanager
def _as_a_stranger(path: Path) -> Iterator[None]:
    """Be a user who may not read a file: root may read any."""
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_name_that_is_not_utf_8_is_refused_when_planning(tmp_path: Path) -> None:
    """It could not travel; the error says what to do."""
    path = os.fsencode(tmp_path) + b"/caf\xe9.log"
    Path(os.fsdecode(path)).write_bytes(b"x\n")
    with pytest.raises(UsageError, match="UTF-8"):
        list(plan(os.fsdecode(path)))
