"""The way of a job's payloads to its master: cut into chunks, numbered, each sent until it is accepted.

Where chunks are cut depends on the items alone, so that the same items under the same key repeat
the same chunks, and the master answers a repeat as the first time. An iterable is read a batch
ahead, never whole. Nothing here knows what a payload means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from taskgrid.errors import ChunkRefused
from taskgrid.model import JobId, JobNumber, JobSpec
from taskgrid.transport.channel import Ask
from taskgrid.transport.protocol import CUT, SubmitReply, SubmitRequest
from taskgrid.transport.proxies import TaskQueue, prepared

BATCH = 2000
"""Items of one chunk, unless 1 MiB comes first."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """`count` payloads, a line each."""

    lines: bytes
    count: int


EMPTY = Chunk(b"", 0)


def cut(lines: list[bytes], limit: int = CUT) -> Iterator[Chunk]:
    """Yield the lines as chunks of at most `limit` bytes, or of one line that is longer."""
    part = b"\n".join(lines)
    if len(part) <= limit:
        yield Chunk(part, len(lines))
        return
    start = size = 0
    for index, line in enumerate(lines):
        if size and size + len(line) > limit:
            yield Chunk(b"\n".join(lines[start:index]), index - start)
            start, size = index, 0
        size += len(line) + 1
    yield Chunk(b"\n".join(lines[start:]), len(lines) - start)


class Packer:
    """Makes chunks of items: `encode` is given a batch and the index of its first item."""

    def __init__(self, encode: Callable[[list[Any], int], list[bytes]]) -> None:
        self._encode = encode
        self._first = 0

    def pack(self, batch: list[Any]) -> Iterator[Chunk]:
        """Yield the next items as chunks."""
        lines = self._encode(batch, self._first)
        self._first += len(batch)
        yield from cut(lines)

    def pack_all(self, items: Iterable[Any]) -> Iterator[Chunk]:
        """Yield all items as chunks, read a batch at a time."""
        source = iter(items)
        while batch := list(islice(source, BATCH)):
            yield from self.pack(batch)


class Upload:
    """One job's chunks in order. Not for several threads at once."""

    def __init__(self, spec: JobSpec) -> None:
        self.job: JobId = spec.id
        self.number: JobNumber | None = None
        """Known once the first chunk is accepted."""
        self.sealed = False
        self.accepted = 0
        """Tasks accepted so far, as the master says."""
        self._spec = spec
        self._ordinal = 0
        self._whole = False  # nothing is missing: we sealed it, or our key names a job that has all there is

    def prepare(self, chunk: Chunk) -> Ask:
        """Return the request of the next chunk, for `proxy.begin`; `send`, called with it, waits for the answer."""
        return prepared("submit", self._request(chunk, seal=False), (chunk.lines,))

    def send(self, proxy: TaskQueue, chunk: Chunk, *, seal: bool = False, begun: Ask | None = None) -> None:
        """Return when the chunk is in the journal; ChunkRefused if the job was sealed by somebody else.

        Nothing is sent to a job that has everything already.
        """
        if self._whole:
            return
        reply = self._submit(proxy, chunk, seal=seal, begun=begun)
        if reply.job != self.job:
            # The key names an older job: it has all there is, or goes on with the very same chunks.
            self.job = reply.job
            self._spec = self._spec.model_copy(update={"id": reply.job})
            self._whole = reply.sealed
            if not reply.sealed:
                reply = self._submit(proxy, chunk, seal=seal)
        self.number, self.sealed, self.accepted = reply.number, reply.sealed, reply.total
        self._ordinal += 1
        # A repeat is answered also by a job that was sealed meanwhile: what follows must be refused, not dropped.
        self._whole = self._whole or (seal and reply.sealed)

    def _submit(self, proxy: TaskQueue, chunk: Chunk, *, seal: bool, begun: Ask | None = None) -> SubmitReply:
        parts = (chunk.lines,) if chunk.count else ()
        reply, _ = proxy.submit(begun or self._request(chunk, seal=seal), parts)
        return reply

    def _request(self, chunk: Chunk, *, seal: bool) -> SubmitRequest:
        return SubmitRequest(
            job=self.job,
            ordinal=self._ordinal,
            count=chunk.count,
            spec=self._spec if self._ordinal == 0 else None,
            seal=seal,
        )

    def seal(self, proxy: TaskQueue) -> None:
        """Say that nothing more comes."""
        try:
            self.send(proxy, EMPTY, seal=True)
        except ChunkRefused:
            self.sealed = True  # it was cancelled, or its client was away too long: sealed is sealed

    def send_all(self, proxy: TaskQueue, source: Iterator[Chunk]) -> None:
        """Send chunk after chunk, the last one as the job's last."""
        ahead = next(source, EMPTY)
        while not self._whole:
            chunk, following = ahead, next(source, None)
            self.send(proxy, chunk, seal=following is None)
            if following is None:
                return
            ahead = following
