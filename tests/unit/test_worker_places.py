"""What a worker sees: folders that are there and not empty, and a look that hangs harms nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from taskgrid.worker import places
from taskgrid.worker.places import Places


def test_a_folder_is_seen_if_there_is_something_in_it(tmp_path: Path) -> None:
    """An empty one may be where a disk is not mounted; what changes is told, what stays is not."""
    changed = threading.Semaphore(0)
    seen = Places(changed.release)
    full, empty, missing = tmp_path / "full", tmp_path / "empty", tmp_path / "missing"
    full.mkdir()
    (full / "file").touch()
    empty.mkdir()
    everything = [str(full), str(empty), str(missing), "/\0"]
    seen.look(everything)
    assert all(changed.acquire(timeout=20) for _ in everything)
    found = seen.seen()
    assert (found[str(full)], found[str(empty)]) == ("", "it is empty here")
    assert found[str(missing)] == "No such file or directory"
    assert found["/\0"]
    (empty / "file").touch()
    seen.look([str(full), str(empty)])
    assert changed.acquire(timeout=20)
    assert seen.seen()[str(empty)] == ""
    assert not changed.acquire(blocking=False)


def test_a_look_that_hangs_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a dead network disk: other folders are looked at meanwhile."""
    looks: list[str] = []
    go_on, changed = threading.Event(), threading.Semaphore(0)

    def look(place: str) -> str:
        looks.append(place)
        return "" if place == "/well" or go_on.wait(20) else "never"

    monkeypatch.setattr(places, "why_unseen", look)
    seen = Places(changed.release)
    seen.look(["/dead"])
    seen.look(["/dead", "/well"])
    assert changed.acquire(timeout=20)
    assert seen.seen() == {"/well": ""}
    go_on.set()
    assert changed.acquire(timeout=20)
    assert sorted(looks) == ["/dead", "/well"]
    assert seen.seen() == {"/well": "", "/dead": ""}


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may submit jobs can't fill a worker's memory with names."""
    monkeypatch.setattr(places, "_MOST", 3)
    changed = threading.Semaphore(0)
    seen = Places(changed.release)
    for number in range(6):
        seen.look([f"/nowhere/{number}"])
        assert changed.acquire(timeout=20)
    assert list(seen.seen()) == ["/nowhere/3", "/nowhere/4", "/nowhere/5"]


def test_looks_are_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked beyond is not looked at now: no number of dead disks takes all threads."""
    go_on, looked = threading.Event(), threading.Semaphore(0)

    def look(place: str) -> str:
        looked.release()
        go_on.wait(20)
        return place

    monkeypatch.setattr(places, "why_unseen", look)
    seen = Places(lambda: None)
    seen.look([f"/{number}" for number in range(10)])
    seen.look([f"/{number}" for number in range(40)])
    assert all(looked.acquire(timeout=20) for _ in range(16))
    assert not looked.acquire(timeout=0.2)
    go_on.set()
