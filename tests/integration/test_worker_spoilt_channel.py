"""Children whose tasks spoil the channel to the agent: who is blamed when many outcomes are lost at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from worker_bench import Bench, failure

from taskgrid.model import Cause


@pytest.mark.parametrize("how", ["close", "write"])
def test_a_task_that_spoils_the_channel_is_found_among_its_bundle(tmp_path: Path, how: str) -> None:
    """Its outcome and its neighbours' are lost together; halving leaves it alone, and the worker goes on."""
    with Bench(tmp_path) as bench:
        bench.lease("spoil", [f'[{n}, "{how if n == 11 else ""}"]'.encode() for n in range(20)])
        outcomes = bench.collect(20, within=40)
        assert bench.trouble is None
    assert failure(outcomes.pop(11)).cause is Cause.CRASH
    assert outcomes == {n: b"%d" % n for n in range(20) if n != 11}


def test_a_forked_process_that_comes_back_from_its_task_disturbs_nobody(tmp_path: Path) -> None:
    """It has no channel and no words: it ends at the first thing it does, and its parent goes on."""
    with Bench(tmp_path) as bench:
        bench.lease("spoil", [f'[{n}, "{"fork" if n == 3 else ""}"]'.encode() for n in range(10)])
        bench.lease("pid_of", [b"[1]"], first=10)
        bench.lease("pid_of", [b"[1]"], first=11)
        outcomes = bench.collect(12)
    assert outcomes.pop(10) == outcomes.pop(11)
    assert outcomes == {n: b"%d" % n for n in range(10)}
