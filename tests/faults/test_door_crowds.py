"""Crowds at the door: a thousand who hang at one stage of a handshake, on both ports of a real master.

Honest clients are served meanwhile and afterwards, soon, and the master's memory is what it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from door_world import KINDS, LONG, PATIENCE, Door, Doors, Kind, ask, opened_doors, stock_frame
from hanging import AFTER_TLS_HELLO, STAGES, crowd, words_until

pytestmark = pytest.mark.timeout(400 if LONG else 120)
CROWD = 1000 if LONG else 300
CALLS = 300 if LONG else 20
SOON = 0.25 if LONG else PATIENCE
"""Seconds: 99 of 100 honest clients need less to connect, shake hands and call. A short run shares its machine."""
STOCK_STAGES = {
    "nothing": b"",
    "half a hello": b"\0\0",
    "a hello": stock_frame(bytes(40))[:4],
    "half of what follows": stock_frame(bytes(40))[:24],
}
"""There a stranger's first word is its answer to the challenge: a length, and as many bytes."""


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Keep the masters for all tests of this module."""
    with opened_doors(tmp_path_factory.mktemp("doors")) as opened:
        yield opened


@pytest.fixture(params=KINDS)
def door(request: pytest.FixtureRequest, doors: Doors) -> Iterator[Door]:
    """Give a master, and see afterwards that it holds."""
    kind: Kind = request.param
    door = doors(kind)
    yield door
    door.holds()


@pytest.mark.parametrize("stage", [*STAGES, AFTER_TLS_HELLO])
def test_a_crowd_that_hangs_keeps_no_honest_client_waiting(door: Door, stage: str) -> None:
    """Whoever has a key connects and is served while they hang, say a byte now and then, and hang on."""
    if stage == AFTER_TLS_HELLO and not door.tls:
        pytest.skip("what follows a hello here is a proof, and is judged")
    with crowd(CROWD, door.connect, words_until(stage, tls=door.tls)) as hanging:
        door.serve_the_honest()
        _is_soon(door, stage, [_timed(partial(_call, door)) for _ in range(CALLS)])
        for sock in hanging[::50]:
            with suppress(OSError):
                sock.sendall(b"\0")
        door.serve_the_honest()


@pytest.mark.parametrize("stage", STOCK_STAGES)
def test_a_crowd_that_hangs_keeps_no_textbook_client_waiting(door: Door, stage: str) -> None:
    """The same at the stock port."""
    with crowd(CROWD, door.connect_stock, STOCK_STAGES[stage]):
        door.serve_the_honest()
        _is_soon(door, f"stock port, {stage}", [_timed(door.serve_the_textbook) for _ in range(CALLS)])


def _call(door: Door) -> None:
    connection = door.dial()
    assert ask(connection)
    connection.close()


def _timed(act: Callable[[], None]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def _is_soon(door: Door, stage: str, seconds: list[float]) -> None:
    where = f"{door.kind.python} {'tls' if door.tls else 'plain'}, {stage}"
    half, most = percentile(seconds, 50), percentile(seconds, 99)
    print(f"{where}: p50 {half * 1e3:.1f} ms, p99 {most * 1e3:.1f} ms, at worst {max(seconds) * 1e3:.1f} ms")
    assert most < SOON


def percentile(seconds: list[float], of_100: int) -> float:
    """Return what that many of a hundred stay below."""
    return sorted(seconds)[len(seconds) * of_100 // 100]
