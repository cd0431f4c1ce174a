"""Cursors of iterations, against a service that sets them back as a restored master does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgrid.client.link import Link
from taskgrid.client.results import Source, as_they_come, failed, in_order
from taskgrid.functions import NamedSignature
from taskgrid.model import Cause, Failure, JobId, JobNumber, failure_line, new_id
from taskgrid.settings import GridSettings
from taskgrid.transport.key_table import KeyTable
from taskgrid.transport.keys import new_key, save_key
from taskgrid.transport.protocol import Cursor, FetchReply, FetchRequest, OutcomeRun, Parts, Peer
from taskgrid.transport.server import serve

JOB = JobId(new_id())
BAD = failure_line(Failure(cause=Cause.ERROR, type="builtins.ValueError", message="no"))


class Script:
    """Answers each fetch with the next of its replies, and remembers the cursors it was shown."""

    def __init__(self, *replies: tuple[list[tuple[int, bytes]], Cursor]) -> None:
        self._replies = iter(replies)
        self.shown: list[Cursor] = []

    def disconnected(self, peer: Peer) -> None:
        """Hear nothing."""

    def fetch(self, _peer: Peer, request: FetchRequest, _parts: Parts) -> tuple[FetchReply, Parts]:
        """Give the next reply; when there is none, the job is complete."""
        self.shown.append(request.cursor)
        rows, cursor = next(self._replies, ([], None))
        runs = tuple(OutcomeRun(first=first, count=lines.count(b"\n") + 1) for first, lines in rows)
        reply = FetchReply(rows=runs, cursor=cursor or request.cursor, complete=cursor is None, sequence=0)
        return reply, tuple(lines for _, lines in rows)


@pytest.fixture
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Source, Script]]:
    """Serve the test's script, and give what an iteration reads from."""
    script = Script(*request.param)
    key = new_key()
    save_key(tmp_path / "key", key)
    server = serve(("127.0.0.1", 0), KeyTable.of(key), script)
    server.start()
    link = Link(GridSettings(server=(f"127.0.0.1:{server.address[1]}",), key_file=tmp_path / "key"))
    yield Source(link, JOB, JobNumber(1), NamedSignature("m:f")), script
    link.close()
    server.stop(5)


def at(epoch: int, position: int) -> Cursor:
    """Return a cursor."""
    return Cursor(epoch=epoch, position=position)


SET_BACK = [
    ([(0, b"0\n1"), (2, b"2")], at(1, 3)),
    ([], at(2, 1)),
    ([(1, b"1\n2\n3"), (4, BAD)], at(2, 5)),
]


@pytest.mark.parametrize("source", [SET_BACK], indirect=True)
def test_results_by_index_keep_their_index_when_the_cursor_is_set_back(source: tuple[Source, Script]) -> None:
    """The reply's cursor is taken as it is, and what was given is not given twice."""
    outcomes = list(in_order(source[0], raising=False))
    assert outcomes[:4] == [0, 1, 2, 3]
    assert isinstance(outcomes[4], ValueError)
    assert source[1].shown == [at(0, 0), at(1, 3), at(2, 1), at(2, 5)]


@pytest.mark.parametrize("source", [SET_BACK], indirect=True)
def test_as_completed_gives_no_task_twice_because_of_a_cursor(source: tuple[Source, Script]) -> None:
    """What the master tells again is left out."""
    given = list(as_they_come(source[0], raising=False))
    assert [index for index, _ in given] == [0, 1, 2, 3, 4]


BEYOND = [
    ([(0, b"0"), (1, b"1")], at(1, 2)),
    ([(0, b"0"), (1, b"1"), (2, b"2")], at(2, 3)),
]


@pytest.mark.parametrize("source", [BEYOND], indirect=True)
def test_as_completed_notices_a_cursor_that_is_set_back_and_ends_further_on(source: tuple[Source, Script]) -> None:
    """A master may read on from where it put the cursor in the same answer; what it tells again is left out."""
    assert [index for index, _ in as_they_come(source[0], raising=False)] == [0, 1, 2]


RETRIED = [([(0, BAD)], at(1, 1)), ([(0, b"7")], at(1, 2))]


@pytest.mark.parametrize("source", [RETRIED], indirect=True)
def test_as_completed_gives_a_retried_task_again(source: tuple[Source, Script]) -> None:
    """An operator's retry is news."""
    assert [type(outcome) for _, outcome in as_they_come(source[0], raising=False)] == [ValueError, int]


AGAIN = [([(0, BAD + b"\n1")], at(1, 2)), ([(0, BAD + b"\n1\n" + BAD)], at(2, 3))]


@pytest.mark.parametrize("source", [AGAIN], indirect=True)
def test_failures_are_given_once(source: tuple[Source, Script]) -> None:
    """A row told again, and longer, gives what is new in it."""
    assert [index for index, _ in failed(source[0])] == [0, 2]
