"""One job of a run: the slices of planned files on their way, and what came of each file, in order.

The plan says which slices there are, so that a run which is taken up again under its key repeats the very
same ones: what the master has is not added again, and its outcomes are read as if nothing had happened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from taskgrid.client.control import Control
from taskgrid.client.link import Link
from taskgrid.client.results import Source, in_order
from taskgrid.client.sending import send
from taskgrid.client.upload import Packer, Upload
from taskgrid.errors import TaskFailed, TaskGridError, UnknownJob
from taskgrid.files.calling import Done, done_of
from taskgrid.files.planning import bounds
from taskgrid.files.remembered import Entry, Planned
from taskgrid.files.report import Weights
from taskgrid.files.slices import FileSlice
from taskgrid.functions.codec import Codec
from taskgrid.model import Explanation, JobSpec, JobView
from taskgrid.transport.protocol import Selector

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


class FileEnded(NamedTuple):
    """A planned file whose tasks have all ended."""

    planned: Planned
    pieces: Sequence[Done[Any]]
    """What its slices came to, in order; none if one failed."""
    cause: str = ""
    """Why it failed."""
    sample: str = ""
    cancelled: bool = False


class Slicing(NamedTuple):
    """How the files of a run become payloads."""

    separator: str
    begins: str | None
    target_of: Callable[[Path], Path | None]
    """The output of an input, if tasks write any."""
    aside_of: Callable[[Path, int], Path | None]
    """Where bad records go of the slice of an input that begins at an offset, if they are kept."""
    strict: bool = False
    """Whether a bad record is an error."""
    arguments: bytes = b"{}"
    """What the function is given beside each slice, as JSON."""

    def payloads(self, entry: Entry) -> Iterator[bytes]:
        """Yield the payload of each slice of a file."""
        target = self.target_of(entry.path)
        for start, end in bounds(entry.start, entry.identity.size, entry.slices):
            slice_ = FileSlice(
                path=entry.path,
                start=start,
                end=end,
                identity=entry.identity,
                separator=self.separator,
                begins=self.begins,
                index=entry.index,
            )
            aside = self.aside_of(entry.path, start)
            behind = json.dumps([target and str(target), aside and str(aside), self.strict]).encode()
            given = b"," + self.arguments if self.arguments != b"{}" else b""
            yield b"[%b,%b%b]" % (slice_.model_dump_json().encode(), behind[1:-1], given)


class _DoneCodec:
    """Reads outcome lines as what tasks over files came to; nothing is ever encoded with it."""

    def __init__(self, value: Any) -> None:
        self._codec = Codec(done_of(value))

    def encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        raise NotImplementedError

    def encode_items(self, items: list[Any], *, first: int = 0, star: bool = False) -> list[bytes]:
        raise NotImplementedError

    def decode_values(self, lines: bytes) -> list[Any]:
        return self._codec.decode_many(lines)

    def decode_value(self, line: bytes) -> Any:
        return self._codec.decode(line)


class Execution:
    """The job of planned files."""

    def __init__(self, link: Link, spec: JobSpec, slicing: Slicing, value: Any) -> None:
        """Take a job's spec, with the run's key, and the annotation of its function's values."""
        self._link = link
        self._key = spec.key
        self._upload = Upload(spec)
        self._slicing = slicing
        self._codec = _DoneCodec(value)
        self.weights = Weights()

    def submit(self, planned: Iterable[Planned]) -> None:
        """Return when all slices are accepted."""
        send(self._link, self._upload, Packer(_as_they_are).pack_all(self._payloads(planned)))

    def _payloads(self, planned: Iterable[Planned]) -> Iterator[bytes]:
        for each in planned:
            self.weights.add(bounds(each.entry.start, each.entry.identity.size, each.entry.slices))
            yield from self._slicing.payloads(each.entry)

    def view(self) -> JobView:
        """Return the job as it stands."""
        return Control(self._link.control).job(self._selector())

    def explain(self) -> Explanation:
        """Ask why the job waits, if it does."""
        return Control(self._link.control).explain(self._selector())

    def cancel(self) -> bool:
        """Take back what has not ended; return whether that was done, or nothing had been accepted."""
        try:
            Control(self._link.control).cancel(self._selector())
        except UnknownJob:
            return True
        except TaskGridError:
            return False
        return True

    def ended(self, planned: Iterable[Planned]) -> Iterator[FileEnded]:
        """Yield each file as it ends, in order, waiting for it; those recorded before are looked past."""
        for each, pieces in self.pieces(planned):
            all_ended = list(pieces)
            if not each.ended:
                yield _as_file(each, all_ended)

    def pieces(self, planned: Iterable[Planned]) -> Iterator[tuple[Planned, Iterator[Done[Any] | BaseException]]]:
        """Yield each file with what its slices come to, in order, as they end; to be read before the next file."""
        if self._upload.number is None:
            raise TaskGridError("the master accepted the job and gave it no number")
        source = Source(self._link, self._upload.job, self._upload.number, self._codec)
        outcomes = in_order(source, raising=False)
        for each in planned:
            yield each, islice(outcomes, each.entry.slices)

    def _selector(self) -> Selector:
        return Selector(key=self._key)  # of a run that is taken up, the job has another id until it was sent to


def _as_they_are(lines: list[bytes], first: int) -> list[bytes]:
    del first
    return lines


def _as_file(planned: Planned, pieces: Sequence[Any]) -> FileEnded:
    entry = planned.entry
    for piece, (start, end) in zip(pieces, bounds(entry.start, entry.identity.size, entry.slices), strict=True):
        if isinstance(piece, CancelledError):
            return FileEnded(planned, (), cancelled=True)
        if isinstance(piece, BaseException):
            return FileEnded(planned, (), cause_of(piece), f"bytes {start} to {end}")
    return FileEnded(planned, pieces)


def cause_of(error: BaseException) -> str:
    """Return why a task failed, in one line, without what only TaskGrid's own people want to know."""
    first = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, TaskFailed):
        return first.removeprefix(f"task {error.task} failed: ").removeprefix("taskgrid.errors.")
    return f"{type(error).__name__}: {first}"
