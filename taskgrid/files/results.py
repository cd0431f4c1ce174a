"""What a run gives: results as values and as lines, and what is remembered of them as bytes.

Without a reduction a file has a value for each of its slices, with one it has one value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from taskgrid.client.tree import Tree
from taskgrid.files.calling import Done
from taskgrid.files.execution import FileEnded
from taskgrid.files.manifest import Row, rows_of
from taskgrid.files.output import Written
from taskgrid.files.planning import bounds
from taskgrid.files.wish import Settled
from taskgrid.functions.codec import Codec

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


class Result(NamedTuple):
    """What came of a file, or of a slice of it."""

    path: Path
    start: int
    end: int
    value: Any
    line: bytes
    """The value as JSON."""
    error: str = ""
    """Why it failed; there is no value then."""

    def as_line(self) -> bytes:
        """Return it as an object of JSON."""
        place = json.dumps({"input": str(self.path), "slice": [self.start, self.end]})[:-1].encode()
        if self.error:
            return b'%b, "error": %b}' % (place, json.dumps(self.error).encode())
        return b'%b, "value": %b}' % (place, self.line)


class FileResult(NamedTuple):
    """What came of a file, and what is said of it in the manifest."""

    results: Sequence[Result]
    manifest: bytes
    """Its lines."""
    value: bytes
    """What a ledger remembers of it."""
    written: Sequence[Written] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """How a run's values are put together and written."""

    settled: Settled
    codec: Codec
    code: str

    def fresh(self, ended: FileEnded, before: FileResult | None, target: Path | None) -> FileResult:
        """Return what came of a file that was read, behind what is remembered of its beginning."""
        entry = ended.planned.entry
        places = list(bounds(entry.start, entry.identity.size, entry.slices))
        if self.settled.merge is None:
            results = [
                self.result(entry.path, place, piece.value) for place, piece in zip(places, ended.pieces, strict=True)
            ]
        else:
            results = [self._merged(entry.path, entry.identity.size, [*_values(before), *_of(ended.pieces)])]
        value = b"\n".join(result.line for result in results)
        written = [piece.written for piece in ended.pieces if piece.written is not None]
        if target is not None and self.settled.shape.output is None:
            written = [_write(target, value + b"\n", ended.planned.number)]
        rows = [self._row(entry.path, place, piece, written) for place, piece in zip(places, ended.pieces, strict=True)]
        asides = [piece.aside for piece in ended.pieces if piece.aside is not None]
        lines = "".join(row.line() for row in (*_renewed(before, written), *rows))
        return FileResult(results, lines.encode(), value, [*written, *asides])

    def result(self, path: Path, place: tuple[int, int], value: Any) -> Result:
        """Return a value as the result of a file, or of a slice of it."""
        return Result(path, *place, value, self.codec.encode(value))

    def _merged(self, path: Path, size: int, values: Iterable[Any]) -> Result:
        tree: Tree[Any] = Tree(self.settled.merge or _never)
        for index, value in enumerate(values):
            tree.add(index, value)
        return self.result(path, (0, size), tree.partial())

    def _row(self, path: Path, place: tuple[int, int], piece: Done[Any], written: Sequence[Written]) -> Row:
        output = written[0] if written else None
        return Row(
            input=path,
            slice=place,
            output=None if output is None else output.target,
            bytes=piece.bytes,
            records=piece.records,
            bad=piece.bad,
            size=None if output is None else output.bytes,
            checksum="" if output is None else output.checksum,
            attempt=piece.attempt,
            worker=piece.worker,
            code=self.code,
            seconds=round(piece.seconds, 6),
        )

    def remembered(self, path: Path, size: int, value: bytes, manifest: bytes) -> FileResult:
        """Return what came of a file in an earlier run; `size` is what of it was read."""
        places = _slices(manifest) if self.settled.merge is None else [(0, size)]
        lines = value.split(b"\n")
        results = [
            Result(path, *place, self.codec.decode(line), line) for place, line in zip(places, lines, strict=True)
        ]
        return FileResult(results, manifest, value)


def _slices(manifest: bytes) -> list[tuple[int, int]]:
    return [row.slice for row in rows_of(manifest) if row.slice is not None]


def _never(parts: Sequence[Any]) -> Any:
    raise ValueError(f"{len(parts)} parts, and nothing to merge them with")


def _values(before: FileResult | None) -> Iterator[Any]:
    yield from () if before is None else (result.value for result in before.results)


def _of(pieces: Sequence[Done[Any]]) -> Iterator[Any]:
    return (piece.value for piece in pieces)


def _renewed(before: FileResult | None, written: Sequence[Written]) -> Iterator[Row]:
    """Yield the lines of a file's beginning, with the output that has its tail now too."""
    new: dict[str, Any] = {}
    if written:
        new = {"output": written[0].target, "size": written[0].bytes, "checksum": written[0].checksum}
    for row in () if before is None else rows_of(before.manifest):
        yield row.model_copy(update=new)


def _write(target: Path, content: bytes, number: int) -> Written:
    """Write a small output here, beside its target, to be published once it is recorded."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.0.{number}.run.part")
    temporary.write_bytes(content)
    checksum = hashlib.sha256(content).hexdigest()
    return Written(temporary=temporary, target=target, bytes=len(content), checksum=checksum)
