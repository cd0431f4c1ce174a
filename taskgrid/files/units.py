"""Compressed files as chains of units: where one can be entered, and how slices share them.

A *unit* is what can be decoded by itself: a gzip member, a bzip2 block, a zstd frame, an xz block, a
span between two points of a seek index. Decoded, it says where the next one begins. A slice owns the
units that begin, in stored bytes, in [start, end), and reads on into the next ones until its last
record is complete.

**Who begins in the middle** can't be told by bytes that look like a unit's first: data may hold them,
a whole archive even, since incompressible data is stored as it is. So a candidate is confirmed by
decoding. Formats store data verbatim in short pieces only (deflate 64 KiB, zstd 128 KiB), between
which they put bytes of their own; a chain of units that holds over a longer `span` is therefore none
of the data. One that breaks earlier (a small archive inside, or damage, or a cut end) is decided by
walking the chain from the file's beginning, which is slow, always right, and hardly ever needed. (One
thing would deceive it: a zstd skippable frame longer than a slice that holds zstd frames itself.)

**Checksums.** Nothing of a unit is given out before its checksum held, up to `HELD` decoded bytes; a
longer one is given out as it is decoded, and its checksum fails the task at its end. Of a unit that the
file's end cuts short, what was decoded is given out, since no checksum will ever come.

**Nothing is skipped silently.** A slice whose first unit is damaged may take a later one for its first.
The slice before it follows the chain into the damaged one for the rest of its last record, and says so.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final, Protocol

from taskgrid.errors import FileCutShort, FileDamaged
from taskgrid.files.snap import Pieces

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

HELD: Final = 8 << 20
"""Decoded bytes that are held back until their checksum held."""
PIECE: Final = 256 << 10
"""Decoded bytes that a unit gives out at once, at most."""
_PROBED: Final = 32 << 20
"""Decoded bytes in which a file of several units shows a second one: a tenth of a second's work."""


class Unit(Protocol):
    """A part of a compressed file that can be decoded by itself."""

    @property
    def offset(self) -> int:
        """Return the stored byte at which it begins."""

    def decode(self) -> Decoding:
        """Yield its data; return the unit after it, None at the file's end.

        Its last piece is followed by FileDamaged if its checksum does not hold.
        """


Decoding = Generator[bytes, None, Unit | None]


class Archive(Protocol):
    """A compressed file of one format."""

    span: int
    """Stored bytes over which a chain must hold to be no part of the data; 0 if candidates are certain."""

    def first(self) -> Unit:
        """Return the unit at the file's beginning."""

    def candidates(self, start: int, end: int) -> Iterator[Unit]:
        """Yield what seems to begin in [start, end), in order."""

    def is_divisible(self) -> bool:
        """Say whether it is worth cutting, having read its beginning or its index and no more."""


def unit_pieces(archive: Archive, start: int, end: int, size: int) -> Pieces:
    """Yield the data of the units that begin in [start, end), and then what follows up to stored byte `size`.

    Raises FileDamaged after what could be read.
    """
    unit = archive.first() if start == 0 else _entry(archive, start, end)
    while unit is not None and unit.offset < size:
        inside = unit.offset < end
        unit = yield from _marked(_held(unit.decode()), inside=inside)


def begins_several(archive: Archive) -> bool:
    """Say whether the archive's beginning shows that it has more than one unit with data."""
    unit: Unit | None = archive.first()
    decoded = 0
    try:
        while unit is not None and decoded == 0:
            for data in (decoding := _Walk(unit.decode())):
                decoded += len(data)
                if decoded > _PROBED:
                    return False
            unit = decoding.following
    except FileDamaged:  # whoever reads it will say so
        return False
    return unit is not None


def _marked(decoding: Decoding, *, inside: bool) -> Generator[tuple[bytes, bool], None, Unit | None]:
    walk = _Walk(decoding)
    for data in walk:
        yield data, inside
    return walk.following


def _held(decoding: Decoding) -> Decoding:
    """Hold a unit's data back until its checksum held or it is too much."""
    walk = _Walk(decoding)
    held: list[bytes] = []
    size = 0
    try:
        for data in walk:
            held.append(data)
            size += len(data)
            if size > HELD:
                yield from held
                held.clear()
    except FileCutShort:
        yield from held
        raise
    yield from held
    return walk.following


class _Walk:
    """A decoding as an iterator that keeps what it returned."""

    def __init__(self, decoding: Decoding) -> None:
        self.following: Unit | None = None
        self._decoding = decoding

    def __iter__(self) -> Iterator[bytes]:
        self.following = yield from self._decoding


def _entry(archive: Archive, start: int, end: int) -> Unit | None:
    """Return the first unit that begins in [start, end), None if there is none."""
    for unit in archive.candidates(start, end):
        confirmed = _is_unit(unit, archive.span)
        if confirmed is None:
            return _walked(archive, start, end, doubtful=unit)
        if confirmed:
            return unit
    return None


def _is_unit(candidate: Unit, span: int) -> bool | None:
    """Say whether decoding confirms a candidate; None if it can't be told from here."""
    unit: Unit | None = candidate
    decoded = 0
    try:
        while unit is not None and unit.offset - candidate.offset < span:
            for data in (decoding := _Walk(unit.decode())):
                decoded += len(data)
                if decoded > HELD:
                    return True
            unit = decoding.following
    except FileCutShort:
        return None
    except FileDamaged:
        return None if unit is not candidate else False
    return True


def _walked(archive: Archive, start: int, end: int, *, doubtful: Unit) -> Unit | None:
    """Return the first unit in [start, end) of the chain from the file's beginning.

    If that is damaged on the way, the doubtful one will do: another slice reports the damage.
    """
    unit: Unit | None = archive.first()
    try:
        while unit is not None and unit.offset < start:
            for _ in (decoding := _Walk(unit.decode())):
                pass
            unit = decoding.following
    except FileDamaged:
        return doubtful
    return unit if unit is not None and unit.offset < end else None
