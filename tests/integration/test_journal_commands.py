"""`taskgrid journal` as a user runs it: exit statuses, JSON, and what is on stdout."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from journal_scene import FILLER, WrittenJob

from taskgrid.journal import Durability, SqliteJournal, verify
from taskgrid.model import JobNumber


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    """Open a journal with two jobs; one failed in part, the other still waits."""
    journal = SqliteJournal(tmp_path / "journal.db", Durability.PROCESS, ballast=0)
    first = WrittenJob(journal, JobNumber(1)).create(name="nightly", owner="ada@alpha")
    first.submit(1500).submit(700).seal().mark(2200)
    first.report(0, 1200, failed=[(7, 9)]).report(1300, 1400).cancel(1200, 1300).retry(8, 9).report(8, 9)
    WrittenJob(journal, JobNumber(2)).create().submit(3)
    return journal


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one of the commands."""
    environment = os.environ | {"XDG_STATE_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    command = [sys.executable, "-m", "taskgrid", "journal", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False, timeout=50)


def damage(path: Path) -> None:
    """Take an outcome away from a closed journal."""
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM outcomes WHERE job = 1 AND sequence = 2")
    connection.commit()
    connection.close()


def test_verify_tells_a_sound_journal_from_a_damaged_one(journal: SqliteJournal, tmp_path: Path) -> None:
    """Status 0 and 6, in words and as JSON."""
    path = tmp_path / "journal.db"
    held = run(tmp_path, "verify", str(path))
    assert held.returncode == 6
    assert f"in use by process {os.getpid()}" in held.stderr
    journal.close()
    sound = run(tmp_path, "verify", str(path))
    assert (sound.returncode, sound.stderr) == (0, "")
    assert "2,203 tasks" in sound.stdout
    damage(path)
    wrong = run(tmp_path, "verify", str(path), "-o", "json")
    assert wrong.returncode == 6
    told = json.loads(wrong.stdout)
    assert (told["sound"], told["findings"]) == (False, ["outcome row 2 of job 1 is missing"])


def test_repair_wants_consent_and_then_leaves_a_journal_that_starts(journal: SqliteJournal, tmp_path: Path) -> None:
    """Without a terminal only --yes is consent; what is lost is said either way."""
    path = tmp_path / "journal.db"
    journal.close()
    damage(path)
    before = path.read_bytes()
    asked = run(tmp_path, "repair", str(path))
    assert (asked.returncode, path.read_bytes() == before) == (6, True)
    assert "job 1 (nightly): outcomes of 1.7-8, 1.1200-1399: queued again" in asked.stderr
    done = run(tmp_path, "repair", str(path), "--yes", "-o", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["losses"][0]["job"] == 1
    assert (tmp_path / "journal.db.damaged").read_bytes() == before
    assert verify(path).sound
    assert run(tmp_path, "repair", str(path)).returncode == 0


def exported(text: str) -> tuple[list[dict[str, object]], dict[str, dict[str, object]]]:
    """Split an export into its jobs, and its tasks by address."""
    lines = [json.loads(line) for line in text.splitlines()]
    tasks = {f"{line['job']}.{line['index']}": line for line in lines if line["kind"] == "task"}
    return [line for line in lines if line["kind"] == "job"], tasks


def test_export_gives_every_task_with_its_payload_and_newest_outcome(journal: SqliteJournal, tmp_path: Path) -> None:
    """What was submitted and what came of it can be taken elsewhere, line by line."""
    assert run(tmp_path, "export", "journal.db").returncode == 6
    journal.close()
    done = run(tmp_path, "export", "journal.db")
    assert (done.returncode, done.stderr) == (0, "")
    jobs, tasks = exported(done.stdout)
    assert [(job["number"], job["name"], job["tasks"], job["sealed"]) for job in jobs] == [
        (1, "nightly", 2200, True),
        (2, "", 3, False),
    ]
    assert list(tasks) == [*(f"1.{n}" for n in range(2200)), "2.0", "2.1", "2.2"]
    assert all(task["payload"] == [task["index"], FILLER] for task in tasks.values())
    assert tasks["1.6"]["value"] == {"task": 6, "row": 1}
    assert tasks["1.7"]["failure"] == {"cause": "error", "type": "builtins.ValueError", "message": "task 7"}
    assert (tasks["1.8"]["state"], tasks["1.8"]["value"]) == ("succeeded", {"task": 8, "row": 4})
    assert states(tasks, [6, 7, 1250, 1350, 1400]) == ["succeeded", "failed", "cancelled", "succeeded", "queued"]
    assert "value" not in tasks["1.1250"]


def states(tasks: dict[str, dict[str, object]], indices: Sequence[int]) -> list[object]:
    """Return the states of tasks of job 1."""
    return [tasks[f"1.{index}"]["state"] for index in indices]


def test_export_of_a_damaged_journal_says_so(journal: SqliteJournal, tmp_path: Path) -> None:
    """Half an archive is never taken for a whole one: the status is not 0."""
    journal.close()
    damage(tmp_path / "journal.db")
    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.execute("DELETE FROM chunks WHERE job = 2")
    connection.commit()
    connection.close()
    done = run(tmp_path, "export", "journal.db")
    assert done.returncode == 6
    assert "repair" in done.stderr
