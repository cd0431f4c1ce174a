"""What the agent and a child say to each other over their socket pair: one frame per bundle or less.

A frame is two lengths, a small JSON header (one of these models) and one body of raw lines. The
agent reads without blocking, as bytes come (`FrameReader`); the child reads whole frames from a
buffered file (`read_frame`). Nothing here knows what a line means.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from taskgrid.model import Cause, JobNumber, Reduce, Run
from taskgrid.model.job import Model

_LENGTHS: Final = struct.Struct("<II")
_LONGEST: Final = 64 << 20
"""Bytes: no task process says more at once, but text taken for a length does."""


class Nonsense(Exception):
    """A task process sent what no task process says: the user's code wrote into its channel."""


class Setup(Model):
    """The first frame to a child: whose functions it runs, and as who."""

    kind: Literal["setup"] = "setup"
    modules: tuple[str, ...]
    paths: tuple[Path, ...] = ()
    main: Path | None = None
    """A script whose functions are offered too."""
    any_function: bool = False
    """Run whatever can be imported."""
    roots: tuple[Path, ...] = ()
    """Folders that slices, outputs and what ships with TaskGrid keep to."""
    worker: str
    max_result_bytes: int
    parent: int
    """The agent's process id: a child whose parent is another one is an orphan."""


class Assignment(Model):
    """Tasks to run; the body holds a payload line each. The first of them has the ordinal `first`."""

    kind: Literal["assignment"] = "assignment"
    first: int
    job: JobNumber
    function: str
    runs: tuple[Run, ...]
    attempts: dict[int, int] = Field(default_factory=dict)
    """Attempt by task, where it isn't the first."""
    seconds: float | None = None
    """The time limit of one attempt."""
    code: str = ""
    """Version of the code that the job means; empty: any."""
    through: str = ""
    """The calling convention of the job, if it names one."""
    reduce: Reduce | None = None
    """How values of whole merge blocks are merged before they are handed over."""
    token: str = ""
    """The lease's, as text: said where there is a convention, which may need a name that nobody else has."""
    last_try: bool = False
    """Another process had other code; if this one has too, the tasks fail."""


class Resume(Model):
    """Everything sent before was taken back; what comes after is to be run."""

    kind: Literal["resume"] = "resume"


class Ready(Model):
    """The child has imported its functions."""

    kind: Literal["ready"] = "ready"


class Unfit(Model):
    """The child could not import its functions, and ends."""

    kind: Literal["unfit"] = "unfit"
    message: str


class OldCode(Model):
    """The child has imported other code than an assignment's job means: it waits to be replaced."""

    kind: Literal["old-code"] = "old-code"


class Slip(Model):
    """One outcome line is a failure."""

    ordinal: int
    cause: Cause
    type: str
    summary: str


class Unpublished(Model):
    """A file that a task has written: it gets its name once the task's outcome is committed."""

    ordinal: int
    temporary: Path
    target: Path


class Outcomes(Model):
    """Tasks that ended, `count` of them from the ordinal `first` on; the body holds a line each."""

    kind: Literal["outcomes"] = "outcomes"
    first: int
    count: int
    slips: tuple[Slip, ...] = ()
    unpublished: tuple[Unpublished, ...] = ()
    nanoseconds: int
    durations: tuple[tuple[int, int], ...] = ()
    """(b, n): n attempts that succeeded took between 2**b and 2**(b+1) microseconds."""
    whole: tuple[tuple[int, int], ...] = ()
    """Ordinals of merge blocks whose values are merged: each from its first up to its last, without that."""


class Stopped(Model):
    """The child met the limit: nothing from the ordinal `at` on was begun or will be."""

    kind: Literal["stopped"] = "stopped"
    at: int


ToChild = Setup | Assignment | Resume
ToAgent = Ready | Unfit | OldCode | Outcomes | Stopped

TO_CHILD: Final[TypeAdapter[ToChild]] = TypeAdapter(Annotated[ToChild, Field(discriminator="kind")])
TO_AGENT: Final[TypeAdapter[ToAgent]] = TypeAdapter(Annotated[ToAgent, Field(discriminator="kind")])


def frame(header: ToChild | ToAgent, body: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    head = type(header).__pydantic_serializer__.to_json(header, exclude_defaults=True)
    head = b'{"kind":"%s"%s%s' % (header.kind.encode(), b"," if len(head) > 2 else b"", head[1:])
    return b"".join((_LENGTHS.pack(len(head), len(body)), head, body))


def read_frame(source: BinaryIO) -> tuple[ToChild, bytes] | None:
    """Read one frame, blocking; None at the end of the stream, also in the middle of a frame."""
    lengths = source.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head, body = _LENGTHS.unpack(lengths)
    content = source.read(head + body)
    if len(content) < head + body:
        return None
    return TO_CHILD.validator.validate_json(content[:head]), content[head:]


class FrameReader:
    """Puts frames from a child together as their bytes come."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[tuple[ToAgent, bytes]]:
        """Add bytes and yield the frames that are whole now."""
        self._bytes += data
        while (found := self._next()) is not None:
            yield found

    def _next(self) -> tuple[ToAgent, bytes] | None:
        if len(self._bytes) < _LENGTHS.size:
            return None
        head, body = _LENGTHS.unpack_from(self._bytes)
        begin, middle = _LENGTHS.size, _LENGTHS.size + head
        if head > _LONGEST or body > _LONGEST:
            raise Nonsense(f"a task process announced a frame of {head + body:,} bytes")
        if len(self._bytes) < middle + body:
            return None
        try:
            header = TO_AGENT.validator.validate_json(bytes(self._bytes[begin:middle]))
        except ValidationError as error:
            raise Nonsense(f"a task process sent what is no frame: {error}") from None
        content = bytes(self._bytes[middle : middle + body])
        del self._bytes[: middle + body]
        return header, content
