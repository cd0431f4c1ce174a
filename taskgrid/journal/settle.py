"""Copies a journal that nobody has open: one file, with all in it that its log holds.

The log's frames are put in place here instead of by SQLite, which changes the original and stops at
the first frame that is wrong. Each frame can be judged alone, so that those behind a damaged one
still count: the newest copy of a page wins, and what the damaged one held is named. Behind the last
commit nothing is taken. Nothing here knows our tables: whoever reads such a copy checks every row.
"""

from __future__ import annotations

import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from taskgrid.disks import sync_folder
from taskgrid.journal.wal import FRAME, HEADER, Frame, Header, checked_frames, read_header, sums_of

_PAGE_SIZE: Final = struct.Struct(">H")
_PAGE_SIZE_AT: Final = 16


_Judged = tuple[int, Frame, bool]
"""A frame, its number, and whether it is what was written."""


@dataclass(frozen=True)
class Settled:
    """What became of a log."""

    commits: int
    """Commits that were put in place."""
    lost: tuple[int, ...]
    """Pages whose newest copy was in a damaged frame: what the file has of them is older."""
    headless: bool = False
    """The log's header was damaged; the frames were read all the same."""


def settle(database: Path, target: Path) -> Settled:
    """Write a copy of `database`, with its log's commits in place, to `target` for its owner alone."""
    log = Path(f"{database}-wal")
    handle = os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "r+b") as copy:
        if database.exists():
            with database.open("rb") as original:
                shutil.copyfileobj(original, copy, 1 << 20)
        settled = _place_log(log, copy) if log.exists() else Settled(0, ())
        copy.flush()
        os.fsync(copy.fileno())
    sync_folder(target.parent)
    return settled


def _place_log(log: Path, copy: BinaryIO) -> Settled:
    with log.open("rb") as file:
        start = file.read(HEADER.size)
        if len(start) < HEADER.size:
            return Settled(0, ())
        header = read_header(start)
        used = header or _guessed(start, file, copy)
        if used is None:
            return Settled(0, (), headless=True)
        file.seek(HEADER.size)
        return _place_frames(file, used, copy, headless=header is None)


def _guessed(start: bytes, file: BinaryIO, copy: BinaryIO) -> Header | None:
    """Return what a damaged header must have said: its salts are in every frame, its page size is the file's."""
    salts = FRAME.unpack(file.read(FRAME.size).ljust(FRAME.size, b"\0"))[2:4]
    copy.seek(_PAGE_SIZE_AT)
    page_size = _PAGE_SIZE.unpack(copy.read(2).ljust(2, b"\0"))[0]
    if page_size < 512 or page_size & (page_size - 1):
        return None
    stored = HEADER.unpack(start)[6:]
    for big_endian in (False, True):
        header = Header(page_size, big_endian, (salts[0], salts[1]), (stored[0], stored[1]))
        file.seek(HEADER.size)
        if any(sound for _, (_, sound) in zip(range(8), checked_frames(file, header), strict=False)):
            return header
    return None


def _place_frames(file: BinaryIO, header: Header, copy: BinaryIO, *, headless: bool) -> Settled:
    frames = [
        (at, frame, sound)
        for at, (frame, sound) in enumerate(checked_frames(file, header))
        if frame.looks_of(header.salts)  # others are left from before the log last began anew
    ]
    frames = _vouched_for(file, header, frames)
    ends = [(at, frame.pages) for at, frame, sound in frames if sound and frame.pages]
    if not ends:
        return Settled(0, tuple(sorted({frame.page for _, frame, _ in frames})), headless=headless)
    last, pages = ends[-1]
    newest = {frame.page: at for at, frame, sound in frames if sound and at <= last}
    bad = {frame.page for at, frame, sound in frames if not sound and newest.get(frame.page, -1) < at <= last}
    _copy_pages(file, header, copy, {page: at for page, at in newest.items() if page <= pages})
    copy.truncate(pages * header.page_size)
    return Settled(len(ends), tuple(sorted(bad)), headless=headless)


def _vouched_for(file: BinaryIO, header: Header, frames: list[_Judged]) -> list[_Judged]:
    """Take for sound what only its own stored checksum speaks against: the next frame's tells what that was.

    Else such a flip costs both, since the next one's checksum begins with it: two pages of one commit may be
    all that it wrote, and then nothing tells that it was.
    """
    found = frames[:]
    before = header.sums
    for number, (at, frame, sound) in enumerate(frames):
        if not sound and number + 1 < len(frames) and frame.is_of(header.salts) and frame.page > 0:
            behind, following, _ = frames[number + 1]
            sums = sums_of(file, header, at, before)
            if behind == at + 1 and sums_of(file, header, behind, sums) == following.sums:
                found[number], found[number + 1] = (at, frame, True), (behind, following, True)
        before = frame.sums
    return found


def _copy_pages(file: BinaryIO, header: Header, copy: BinaryIO, places: dict[int, int]) -> None:
    size = FRAME.size + header.page_size
    for page, at in places.items():
        content = os.pread(file.fileno(), header.page_size, HEADER.size + at * size + FRAME.size)
        copy.seek((page - 1) * header.page_size)
        copy.write(content)
