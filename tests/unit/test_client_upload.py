"""How items become chunks."""

from __future__ import annotations

from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgrid.client.upload import BATCH, Chunk, Packer, Upload, cut
from taskgrid.clock import ManualClock
from taskgrid.errors import ChunkRefused, TooLarge
from taskgrid.functions import NamedSignature
from taskgrid.journal.memory import MemoryJournal
from taskgrid.master.engine import Engine
from taskgrid.master.tasks import TaskQueue
from taskgrid.model import JobId, JobSpec, Sealed, new_id
from taskgrid.scheduler.apply import commit
from taskgrid.scheduler.limits import Limits
from taskgrid.transport.protocol import Parts, Peer, SubmitReply, SubmitRequest


def plain(batch: list[object], first: int) -> list[bytes]:
    """Encode items as a function given by name does."""
    return NamedSignature("m:f").encode_items(batch, first=first)


LINES = st.lists(st.binary(min_size=1, max_size=40).filter(lambda line: b"\n" not in line), min_size=1)


@given(LINES, st.integers(1, 60))
def test_cut_keeps_every_line_in_order_and_the_limit(lines: list[bytes], limit: int) -> None:
    """Chunks joined again are the lines; one is over the limit only if it is a single line."""
    chunks = list(cut(lines, limit))
    assert b"\n".join(chunk.lines for chunk in chunks).split(b"\n") == lines
    assert [chunk.lines.count(b"\n") + 1 for chunk in chunks] == [chunk.count for chunk in chunks]
    assert all(len(chunk.lines) <= limit or chunk.count == 1 for chunk in chunks)


def test_chunks_end_at_two_thousand_items_and_the_last_has_the_rest() -> None:
    """A chunk holds 2,000 items unless its bytes say otherwise."""
    assert [chunk.count for chunk in Packer(plain).pack_all(range(4500))] == [BATCH, BATCH, 500]


def test_the_same_items_give_the_same_chunks_whatever_kind_of_iterable_holds_them() -> None:
    """Boundaries depend on the items alone: a submission under the same key repeats its chunks."""
    items = ["x" * (n % 3000) for n in range(5000)]
    assert list(Packer(plain).pack_all(items)) == list(Packer(plain).pack_all(iter(items)))


def test_an_endless_iterable_is_read_a_batch_at_a_time() -> None:
    """Nothing is read that isn't needed for the chunk asked for."""
    source = count()
    chunk = next(Packer(plain).pack_all(source))
    assert (chunk.count, next(source)) == (BATCH, BATCH)


def test_a_bad_item_is_named_by_its_index_in_the_whole_iterable() -> None:
    """Errors count from the first item, not from the batch."""
    items = [*range(BATCH), object()]
    with pytest.raises(Exception, match=f"item {BATCH}"):
        list(Packer(plain).pack_all(items))


def test_an_item_over_the_payload_limit_is_refused_with_its_index() -> None:
    """A payload has a limit of its own, apart from the chunk's."""
    signature = NamedSignature("m:f", max_payload=10)
    packer = Packer(lambda batch, first: signature.encode_items(batch, first=first))
    with pytest.raises(TooLarge, match="item 1"):
        list(islice(packer.pack_all(["a", "b" * 20]), 5))


class LosesAnAnswer:
    """A master's verb as a proxy has it; the first answer is lost, the job sealed meanwhile, the request repeated."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue = TaskQueue(engine)
        self._lost = False

    def submit(self, request: SubmitRequest, parts: Parts, **_: object) -> tuple[SubmitReply, Parts]:
        """Ask the master."""
        peer = Peer("here", frozenset(), 1)
        if not self._lost:
            self._lost = True
            self._queue.submit(peer, request, parts)
            job = self._engine.core.by_id[request.job]
            with self._engine.lock:
                self._engine.append([commit(self._engine.core, job, Sealed(abandoned=True, at=0.0))])
        return self._queue.submit(peer, request, parts)


def test_chunks_after_the_repeat_of_one_whose_job_was_sealed_meanwhile_are_refused() -> None:
    """Its client was away for too long: what it has left must not be dropped as if the job had it."""
    journal = MemoryJournal()
    try:
        upload = Upload(JobSpec(id=JobId(new_id()), function="m:f"))
        chunks = iter([Chunk(b"[1]", 1), Chunk(b"[2]", 1), Chunk(b"[3]", 1)])
        with pytest.raises(ChunkRefused) as refused:
            upload.send_all(LosesAnAnswer(Engine(journal, ManualClock(), Limits())), chunks)  # type: ignore[arg-type]  # a proxy's one verb
        assert refused.value.fields["sealed"]
        assert upload.accepted == 1
    finally:
        journal.close()
