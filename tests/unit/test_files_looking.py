"""What a worker says of files that the client doesn't see: all of them, however many, and how each is cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskgrid.errors import UsageError
from taskgrid.files import packing
from taskgrid.files.eyes import OwnEyes
from taskgrid.files.identity import Identity
from taskgrid.files.listing import Listed, in_order_of, listed, outermost, root_of
from taskgrid.files.looking import CutRequest, cut_files, grown_since, list_files
from taskgrid.files.stored import Stored
from taskgrid.functions import Runner


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Give a folder with files of many sizes."""
    for number in range(200):
        folder = tmp_path / f"day {number % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"ö{number}.log").write_bytes(os.urandom(number % 13 * 100))
    return tmp_path


def test_a_listing_comes_in_parts_and_is_the_client_s_own(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has room in a part: together they are what a client would see here, in its order."""
    monkeypatch.setattr(packing, "ROOM", 0)
    monkeypatch.setattr(packing, "_IN_HAND", 500)
    found: list[Listed] = []
    parts, after = 0, None
    while True:
        page = list_files([f"{logs}/**/*.log", str(logs / "day 3")], [logs / "day 5"], after)
        found += page.files()
        parts += 1
        if (after := page.after) is None:
            break
    assert parts > 3
    right = listed([f"{logs}/**/*.log", logs / "day 3"], without=[logs / "day 5"])
    assert in_order_of(found, by_name=False) == right
    assert len(right) == 172


def test_a_pattern_that_leads_to_nothing_is_refused(logs: Path) -> None:
    """As by a client that looks itself."""
    with pytest.raises(UsageError, match="leads to no file"):
        list_files([f"{logs}/*.txt"])


def test_files_are_cut_as_from_here(logs: Path) -> None:
    """Through JSON and back; what can't be read says why."""
    requests = [CutRequest(path, 300, None, 0) for path in sorted(logs.rglob("*.log"))[:20]]
    requests.append(CutRequest(logs / "gone", 300, None, 0))
    cuts = cut_files(requests)
    assert list(OwnEyes().cut(requests)) == cuts
    assert cuts[-1].identity is None
    assert "No such file" in cuts[-1].why_not
    with Runner(cut_files) as runner:
        line = runner.run(b'[[["%b",300,null,0]]]' % str(requests[0].path).encode())
    assert cuts[0].identity is not None
    assert f'"head":"{cuts[0].identity.head}"' in line.decode()


def test_growth_is_told_from_afar(tmp_path: Path) -> None:
    """What was appended to has grown; what was written anew has not."""
    log = tmp_path / "log"
    log.write_text("a\n" * 100)
    with Stored(log) as stored:
        then = Identity.of(stored)
    with log.open("a") as file:
        file.write("b\n")
    grown = grown_since(log, then, "\n")
    assert grown is not None
    assert grown.size == 202
    log.write_text("c\n" * 200)
    assert grown_since(log, then, "\n") is None


def test_the_places_of_patterns_are_folders_above_them() -> None:
    """As few as hold all of them: they are told without looking."""
    patterns = ["/logs/*/a.log", "/logs/web/b.log", "/data/x", "/data/**"]
    assert outermost(map(root_of, map(Path, patterns))) == ("/data", "/logs")
    many = [Path(f"/srv/host{number}/*.log") for number in range(20)]
    assert outermost(map(root_of, many)) == ("/srv",)
