"""Three machines in one: network namespaces joined by cables, a folder that all see, a home for each.

Made by iproute2, which takes root. What runs there is started by a shell in the machine's namespace,
and ended with it; a cable can be pulled, so that nothing arrives any more and nobody is told.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_programs import processes

_MARK = "MACHINES_OF_TEST"
_SUBNETS = {"beta": "10.117.1", "gamma": "10.117.2"}


class Machine:
    """A network namespace, and a home."""

    def __init__(self, name: str, folder: Path, mark: str) -> None:
        self.name = name
        self.namespace = f"tg-{mark[:6]}-{name}"
        self.home = folder / name
        self.home.mkdir()
        self.settings: dict[str, str] = {}
        """Further variables of programs started from now on."""
        self.master = f"{_SUBNETS[name]}.1" if name in _SUBNETS else "127.0.0.1"
        """How this machine calls alpha."""
        self._mark = mark
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start a command in the background; what it says goes to a file in its home."""
        with (self.home / f"{len(self.started)}.log").open("wb") as log:
            program = subprocess.Popen(self._words(command), env=self._variables(), stdout=log, stderr=log)
        self.started.append(program)
        return program

    def run(self, command: str, *, status: int = 0) -> str:
        """Run a command to its end and return what it printed."""
        words, variables = self._words(command), self._variables()
        done = subprocess.run(
            words, env=variables, cwd=self.home, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, f"{self.name}$ {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def said(self) -> str:
        """Return what its background programs said."""
        return "".join(f"--- {path}\n{path.read_text()[-2000:]}" for path in sorted(self.home.glob("*.log")))

    def _words(self, command: str) -> list[str]:
        # The last command of a line takes the shell's place, so that its process id is the program's own.
        before, _, last = command.rpartition("&& ")
        tail = last if "|" in last else f"exec {last}"
        return ["ip", "netns", "exec", self.namespace, "sh", "-c", f"{before and before + '&& '}{tail}"]

    def _variables(self) -> dict[str, str]:
        path = f"{sysconfig.get_path('scripts')}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8", _MARK: self._mark} | self.settings


class Machines:
    """alpha, with a cable to beta and one to gamma."""

    def __init__(self, folder: Path) -> None:
        self._mark = secrets.token_hex(8)
        self.shared = folder / "shared"
        self.shared.mkdir()
        self.alpha, self.beta, self.gamma = (Machine(name, folder, self._mark) for name in ("alpha", "beta", "gamma"))

    def build(self) -> None:
        """Make the namespaces and lay the cables; CalledProcessError if that is not allowed here."""
        for machine in (self.alpha, self.beta, self.gamma):
            _ip("netns", "add", machine.namespace)
            _ip("-n", machine.namespace, "link", "set", "lo", "up")
        for machine in (self.beta, self.gamma):
            here, there = self.alpha.namespace, machine.namespace
            _ip("-n", here, "link", "add", machine.name, "type", "veth", "peer", "name", "alpha", "netns", there)
            for namespace, link, number in ((here, machine.name, 1), (there, "alpha", 2)):
                _ip("-n", namespace, "address", "add", f"{_SUBNETS[machine.name]}.{number}/24", "dev", link)
                _ip("-n", namespace, "link", "set", link, "up")

    def pull(self, machine: Machine) -> None:
        """Take a machine's cable away."""
        _ip("-n", self.alpha.namespace, "link", "del", machine.name)

    def alive(self) -> dict[int, str]:
        """Return the command line of everything that runs on the machines, by process id."""
        return processes(_MARK, self._mark)

    def demolish(self) -> None:
        """End everything and take the namespaces away."""
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for machine in (self.alpha, self.beta, self.gamma):
            for program in machine.started:
                program.wait(10)
            subprocess.run(["ip", "netns", "del", machine.namespace], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """Give three machines, or skip the test where they can't be made."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces take root and iproute2")
    built = Machines(tmp_path)
    try:
        try:
            built.build()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces can't be made here: {error.stderr.decode().strip()}")
        yield built
    finally:
        for machine in (built.alpha, built.beta, built.gamma):
            print(machine.said())  # pytest shows it with a failure
        built.demolish()
