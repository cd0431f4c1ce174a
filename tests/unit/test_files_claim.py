"""One run at a time writes to a place; what may still be published keeps others away, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskgrid.errors import OutputClaimed
from taskgrid.files import FileSlice, Output
from taskgrid.files.claim import Claim
from taskgrid.files.wish import Settled, Wish


def size_of(piece: FileSlice) -> int:
    """Return a number."""
    return piece.end


def written(piece: FileSlice, out: Output) -> int:
    """Write nothing."""
    del out
    return piece.end


def publishing(place: Path, ledger: str = "a") -> Settled:
    """Return a run whose workers write into a folder."""
    return Wish(written, ("logs",), out=place / "out", ledger=place / ledger).settled()


def test_a_second_run_is_refused_while_the_first_goes_on_whatever_its_ledger(tmp_path: Path) -> None:
    """By the name of who has it; once that has ended, the next may."""
    with Claim(publishing(tmp_path), 0.0):
        for ledger in "ab":
            with pytest.raises(OutputClaimed, match=rf"another run .*out: process {os.getpid()} on host"):
                Claim(publishing(tmp_path, ledger), 0.0).__enter__()
    with Claim(publishing(tmp_path, "b"), 0.0) as claim:
        assert not claim.goes_on


def test_a_run_that_left_tasks_behind_keeps_its_place_for_its_ledger(tmp_path: Path) -> None:
    """As one that lost its master: another ledger is refused with where it is remembered, its own goes on."""
    with Claim(publishing(tmp_path), 0.0) as left:
        left.goes_on = True
    with pytest.raises(OutputClaimed, match="killed") as refused:
        Claim(publishing(tmp_path, "b"), 0.0).__enter__()
    assert refused.value.why.endswith(f"remembers in {tmp_path / 'a'}.")
    with Claim(publishing(tmp_path), 0.0) as again:
        assert again.goes_on
    with pytest.raises(OutputClaimed), Claim(publishing(tmp_path, "b"), 0.0):
        pass
    with Claim(publishing(tmp_path), 0.0) as again:
        again.goes_on = False
    with Claim(publishing(tmp_path, "b"), 0.0):
        pass


@pytest.mark.parametrize("out", ["out/", "results.jsonl"])
def test_what_only_the_run_itself_writes_is_free_when_it_is_gone(tmp_path: Path, out: str) -> None:
    """Its workers publish nothing."""

    def run(ledger: str) -> Settled:
        return Wish(size_of, ("logs",), out=f"{tmp_path}/{out}", ledger=tmp_path / ledger).settled()

    with Claim(run("a"), 0.0) as left:
        left.goes_on = True
        with pytest.raises(OutputClaimed):
            Claim(run("b"), 0.0).__enter__()
    with Claim(run("b"), 0.0):
        said = run("b").claim
        assert said is not None
        killed = said.read_bytes()
    said.write_bytes(killed)
    with Claim(run("a"), 0.0):
        pass


def test_a_run_that_writes_nothing_claims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no file left by it."""
    monkeypatch.chdir(tmp_path)
    settled = Wish(size_of, ("logs",), ledger=tmp_path / "a").settled()
    with Claim(settled, 0.0), Claim(settled, 0.0):
        assert not list(tmp_path.iterdir())
