"""The demo as people run it, smaller: what it shows, what it makes of a loss, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskgrid.cli import demo
from taskgrid.logs import AccessSummary

HELD_UP = """
import io, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
class HeldUp(io.TextIOWrapper):
    def write(self, text):
        super().write(text)
        if "half-way" in text:
            self.flush()
            while True:
                time.sleep(0.01)
sys.stderr = HeldUp(sys.stderr.detach(), line_buffering=True)
"""
"""Lets a program go no further than half-way before it got a signal, also if Ctrl-C is not for the tests themselves."""


@contextmanager
def started(folder: Path, *, files: int, size: int, first: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run a demo in a session of its own whose temporary files lie in `folder`."""
    code = f"{first}import sys; from taskgrid.cli.demo import run_demo; sys.exit(run_demo({files}, {size}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def session_of(leader: int) -> list[str]:
    """Return the command lines of all processes of a session but its leader."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            command = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if session == leader and int(entry.name) != leader and command:
            found.append(command)
    return found


@pytest.mark.timeout(120)
def test_the_demo_kills_a_task_process_and_loses_nothing(tmp_path: Path) -> None:
    """All totals match although a process was killed half-way, and nothing is left behind."""
    with started(tmp_path, files=40, size=16_000_000) as process:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        assert session_of(process.pid) == []
    assert "half-way: killed task process" in err
    assert "all totals match what was written" in err
    assert "lines in 40 files" in out
    assert "200 OK" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C in the middle ends every process and removes every file, with status 130."""
    with started(tmp_path, files=40, size=8_000_000, first=HELD_UP) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("half-way"):
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=100)
        assert process.returncode == 130, err
        assert session_of(process.pid) == []
    assert "interrupted" in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def run_of(summaries: dict[int, AccessSummary], files: int) -> demo.Run:
    """Return a run that is over."""
    return demo.Run([Path(f"{n}.log") for n in range(files)], 1000, summaries, seconds=1.0)


def test_a_lost_summary_fails_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """A file without a summary is named as a loss, and so is every total that differs."""
    one = AccessSummary(files=1, lines=3, statuses={200: 3})
    assert demo._judge(run_of({0: one}, 2), one, one + one) == 1
    shown = capsys.readouterr().err
    assert "1 files have no summary" in shown
    assert "lines: found 3, written 6" in shown


def test_a_result_that_came_twice_fails_the_demo() -> None:
    """Committed once means seen once."""
    one = AccessSummary(files=1, lines=3)
    run = run_of({0: one}, 1)
    assert demo._judge(run, one, one) == 0
    run.twice = 1
    assert demo._judge(run, one, one) == 1
