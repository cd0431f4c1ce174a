"""Runs over files that are killed: taken up again, they give what an undisturbed run gives, to the byte.

Master, workers and the run's own client are killed at random points, drawn by a seed. What is compared is
every output, the total, and the manifest but for who ran what and how long it took.
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Record
from proof_grid import HERE, LEASE, launch
from real_programs import Programs, eventually
from scale import scaled, seeds

FILES = scaled(12, 40, 40)
STRIKES = scaled(4, 12, 25)
BOUND = 240.0
UNREACHABLE = 3
"""The exit status of a client that finds no master."""
_EACH_TIME_OTHERS = ("attempt", "worker", "seconds")


class Scene:
    """A folder of logs, a grid, and runs over them."""

    def __init__(self, programs: Programs, seed: int) -> None:
        self._programs = programs
        self._random = random.Random(seed)
        self.logs = programs.folder / "logs"
        self._begun = programs.folder / "begun.txt"
        self._begun.touch()
        programs.environment["PROOF_BEGUN"] = str(self._begun)
        self._write_logs()
        self._master = programs.start_master(*LEASE)
        self._workers = [self._hire() for _ in range(2)]

    def _write_logs(self) -> None:
        for number in range(FILES):
            folder = self.logs / f"host-{number % 3}"
            folder.mkdir(parents=True, exist_ok=True)
            lines = (f"{self._random.randrange(10**6)}\n" for _ in range(self._random.randrange(1, 3000)))
            (folder / f"{number}.log").write_text("".join(lines))

    def _hire(self) -> subprocess.Popen[bytes]:
        return self._programs.start_worker(functions="proof_files", path=HERE)

    def client(self, function: str, *flags: object) -> subprocess.Popen[bytes]:
        """Start a run."""
        at = (f"--server={self._programs.server}", f"--key-file={self._programs.key_file}", f"--path={HERE}")
        words = ["-m", "taskgrid", "files", f"proof_files:{function}", self.logs, *flags, *at, "--reduce=merge"]
        return launch(self._programs, "files", words)

    def undisturbed(self, function: str, *flags: object) -> None:
        """Carry a run out."""
        assert self.client(function, *flags).wait(BOUND) == 0, self._programs.said()

    def disturbed(self, function: str, *flags: object) -> int:
        """Carry a run out though somebody is killed now and then; return how many clients it took."""
        client, clients = self.client(function, *flags), 1
        for _ in range(STRIKES):
            self._await_some(client)
            if self._strike(client) or client.poll() == UNREACHABLE:
                client, clients = self.client(function, *flags), clients + 1
        while (status := client.wait(BOUND)) == UNREACHABLE:  # it began while the master was away
            client, clients = self.client(function, *flags), clients + 1
        assert status == 0, self._programs.said()
        return clients

    def _strike(self, client: subprocess.Popen[bytes]) -> bool:
        """Kill somebody, and start them again unless it was the client: say whether it was."""
        victim = self._random.choice(("master", "worker", "client", "client"))
        if victim == "master":
            self._programs.kill(self._master)
            self._master = self._programs.start_master(*LEASE)
        elif victim == "worker":
            self._programs.kill(self._workers.pop(0))
            self._workers.append(self._hire())
        else:
            self._programs.kill(client)
        return victim == "client"

    def _await_some(self, client: subprocess.Popen[bytes]) -> None:
        """Wait for some tasks more to begin, or for the run's end."""
        until = self._lines() + self._random.randrange(1, 6)
        eventually(lambda: self._lines() >= until or client.poll() is not None)

    def _lines(self) -> int:
        return self._begun.read_bytes().count(b"\n")


def content(folder: Path) -> dict[str, bytes]:
    """Return all that a run leaves in its folder for others, by name: without its ledger and locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".taskgrid.") and path.name != "manifest.jsonl"
    }


def rows(manifest: Path) -> list[dict[str, Any]]:
    """Return the lines of a manifest without what differs each time, outputs by their names."""
    found = [json.loads(line) for line in manifest.read_text().splitlines()]
    for row in found:
        row["output"] = Path(row["output"]).name if "output" in row else None
        for name in _EACH_TIME_OTHERS:
            row.pop(name, None)
    return found


@pytest.mark.timeout(BOUND * 2)
@pytest.mark.parametrize("seed", seeds(1, 5, 40))
def test_a_run_with_outputs_that_is_killed_at_random_points_gives_what_an_undisturbed_one_gives(
    programs: Programs, seed: int, record_property: Record
) -> None:
    """Outputs, total and manifest are the same to the byte, and nothing else lies beside them."""
    scene = Scene(programs, seed)
    calm, rough = programs.folder / "calm", programs.folder / "rough"
    scene.undisturbed("copied", f"--out={calm}/")
    clients = scene.disturbed("copied", f"--out={rough}/")
    record_property("seed", seed)
    record_property("clients", clients)
    assert content(rough) == content(calm)
    assert len(content(calm)) == FILES
    assert rows(rough / "manifest.jsonl") == rows(calm / "manifest.jsonl")


@pytest.mark.timeout(BOUND * 2)
@pytest.mark.parametrize("seed", seeds(1, 5, 40))
def test_a_reduction_that_is_killed_at_random_points_gives_what_an_undisturbed_one_gives(
    programs: Programs, seed: int
) -> None:
    """The total is the same to the last bit of its floats, though slices and files are merged by several clients."""
    scene = Scene(programs, seed)
    calm, rough = programs.folder / "calm.json", programs.folder / "rough.json"
    scene.undisturbed("summed", f"--out={calm}", "--split=2KiB")
    scene.disturbed("summed", f"--out={rough}", "--split=2KiB", f"--ledger={programs.folder / 'rough.ledger'}")
    assert rough.read_bytes() == calm.read_bytes()
    lines = sum(path.read_bytes().count(b"\n") for path in scene.logs.rglob("*.log"))
    assert json.loads(calm.read_text())["lines"] == lines
    assert rows(Path(f"{rough}.manifest.jsonl"))[:-1] == rows(Path(f"{calm}.manifest.jsonl"))[:-1]
