"""`docs/three-machines.md`, done: its commands, on three machines with a network between them.

Each command is taken from the page, so that one that is not there any more fails here. What differs:
names become addresses, the shared folder is the test's, and two settings make leases short.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from real_programs import eventually
from three_machines import Machine, Machines, machines

__all__ = ["machines"]

PAGE = Path(__file__).parents[2] / "docs" / "three-machines.md"
COUNT = """
import time
from pathlib import Path

def count(path: Path) -> dict[str, int]:
    while int(path.stem) >= 20 and (path.parent.parent / "hold").exists():
        time.sleep(0.02)
    time.sleep(0.02)
    text = path.read_text()
    return {"lines": text.count("\\n"), "errors": text.count("error")}
"""
FILES = 60
SHORT_LEASES = {"TASKGRID_LEASE": "3s", "TASKGRID_BEAT": "1s"}


class Page:
    """The page's commands, as they are run here."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._commands = re.findall(r"^    (\w+)\$ +(.+?)(?:  +#.*)?$", PAGE.read_text(), re.MULTILINE)

    def command(self, machine: Machine, beginning: str) -> str:
        """Return the page's only command for a machine that begins so, or is just that."""
        found = {command for name, command in self._commands if name == machine.name and command.startswith(beginning)}
        found = {beginning} & found or found
        assert len(found) == 1, f"the page has {found or 'nothing'} for: {machine.name}$ {beginning}..."
        command = found.pop().replace("/shared", str(self._machines.shared))
        return re.sub(r"\balpha\b", machine.master, command)


@pytest.fixture
def page(machines: Machines) -> Page:
    """Give the page, for these machines."""
    return Page(machines)


@pytest.mark.timeout(400)
def test_the_page_about_three_machines_is_true(machines: Machines, page: Page) -> None:
    """Join over TLS, work, lose a machine with its cable, lose the master, drain: the job ends, every count right."""
    alpha, beta, gamma = machines.alpha, machines.beta, machines.gamma
    lay_out(machines.shared)
    alpha.settings = SHORT_LEASES
    master = alpha.start(page.command(alpha, "taskgrid master"))
    eventually(lambda: "taskgrid join" in alpha.said(), 60, "it says what to run on the others")
    assert "with TLS" in alpha.said()
    workers = {machine.name: join(page, alpha, machine) for machine in (beta, gamma)}
    eventually(lambda: connected(alpha, page) == {each.pid for each in workers.values()}, 60, "both are there")

    beta.run("taskgrid submit mylogs:count nothing", status=4)  # it joined with a worker's key
    submit = page.command(alpha, "ls ")
    assert [alpha.run(submit), alpha.run(submit)] == ["1\n", "1\n"], "the same key is the same job"
    for words in ("taskgrid status", "taskgrid jobs", "taskgrid explain 1", "taskgrid explain 1.42"):
        assert alpha.run(page.command(alpha, words))

    eventually(lambda: ended(alpha) == 20, 60, "both hold tasks that do not end yet")
    machines.pull(gamma)
    eventually(lambda: connected(alpha, page) == {workers["beta"].pid}, 60, "gamma is lost")
    (machines.shared / "hold").unlink()
    eventually(lambda: ended(alpha) > 20, 60, "beta goes on")
    master.kill()
    master.wait()
    alpha.start(page.command(alpha, "taskgrid master"))
    eventually(lambda: alpha.said().count("taskgrid join") == 2, 60, "it serves again")

    alpha.run(page.command(alpha, "taskgrid results 1"))
    judge((alpha.home / "counts.jsonl").read_text(), machines.shared)
    beta.run(page.command(beta, "kill PID").replace("PID", str(workers["beta"].pid)))
    assert workers["beta"].wait(40) == 0


def lay_out(shared: Path) -> None:
    """Put the function and the logs into the shared folder."""
    (shared / "code").mkdir()
    (shared / "logs").mkdir()
    (shared / "hold").touch()
    (shared / "code" / "mylogs.py").write_text(COUNT)
    for number in range(FILES):
        (shared / "logs" / f"{number:03}.log").write_text("all is well\n" * number + "error: disk\n")


def join(page: Page, alpha: Machine, machine: Machine) -> subprocess.Popen[bytes]:
    """Join with the worker's key on stdin, as the page does it by ssh, and start the worker."""
    words, _, key = page.command(alpha, "ssh beta ").partition(" < ")
    words = words.removeprefix("ssh beta ").replace("127.0.0.1", machine.master)
    machine.run(f"{words} < {key.replace('~', str(alpha.home))}")
    return machine.start(page.command(machine, "cd /shared/code && taskgrid worker"))


def connected(alpha: Machine, page: Page) -> set[int]:
    """Return the process ids of the workers that are there, as `taskgrid workers` shows them."""
    workers = json.loads(alpha.run(page.command(alpha, "taskgrid workers") + " --output json"))
    return {worker["pid"] for worker in workers if worker["connected"]}


def ended(alpha: Machine) -> int:
    """Return how many tasks have ended."""
    (job,) = json.loads(alpha.run("taskgrid jobs --output json"))
    return int(job["counts"].get("succeeded", 0))


def judge(lines: str, shared: Path) -> None:
    """Prove that each file was counted once, and rightly."""
    results = [json.loads(line) for line in lines.splitlines()]
    expected = [(f"1.{number}", {"lines": number + 1, "errors": 1}) for number in range(FILES)]
    assert [(result["task"], result["value"]) for result in results] == expected
    assert [result["item"] for result in results] == [str(path) for path in sorted((shared / "logs").iterdir())]
