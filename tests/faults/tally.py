"""What the fault runs came to: one line per row of the matrix, printed at the end or written as a page.

A pytest plugin: every test that passed or failed counts for the rows that name it; a test that
knows more says so with `record_property`: `tasks`, `lost`, `doubled`, `seed`, `skipped`, and
`recovery`, seconds it took until things went on. Nothing here is asserted.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from matrix import MATRIX, Row
from scale import MODE

HEAD = "| fault | when | what must hold | runs | tasks | lost | doubled | recovery p50 / worst | seeds |"
RULE = "|---|---|---|--:|--:|--:|--:|--:|---|"
PAGE = """# What was broken, and what held

Written by `make faults PAGE=docs/faults.md`, from the table in `tests/faults/matrix.py` and one run of it: real
processes, real sockets, real disks. After a run an offline checker compares four records that know nothing of each
other: what the attempts wrote down, the journal's rows, what every caller saw, and what was killed when. *Lost* is a
task that was accepted and has no outcome, *doubled* one that has two, or that ended under a superseded token.

*Recovery* is the time from a kill until what it held back went on: for a task process or a worker until the task it
was at began again elsewhere; for a master or a client until some caller got its next value, so it includes the start of
the new program. A blank means that the row has no such figure.

These figures were taken on {machine}, {when}{mode}: {passed} runs held, {failed} did not; {skipped} kinds were skipped.

{table}

`make faults` does this again, `make faults-long` with {long_runs}; `TASKGRID_SEED` is the first seed.
"""


@dataclass
class Line:
    """What the runs of one row came to."""

    runs: int = 0
    failed: int = 0
    skipped: set[str] = field(default_factory=set)
    facts: dict[str, list[Any]] = field(default_factory=dict)

    def cells(self) -> tuple[str, ...]:
        """Return runs, tasks, lost, doubled, recovery and seeds."""
        if not self.runs:
            return (f"skipped: {'; '.join(sorted(self.skipped))}" if self.skipped else "", "", "", "", "", "")
        runs = f"{self.runs}, **{self.failed} failed**" if self.failed else str(self.runs)
        return (runs, self._sum("tasks"), self._sum("lost"), self._sum("doubled"), self._recovery(), self._seeds())

    def _sum(self, name: str) -> str:
        return f"{sum(map(int, self.facts[name])):,}" if name in self.facts else ""

    def _recovery(self) -> str:
        seconds = [float(each) for each in self.facts.get("recovery", ())]
        return f"{statistics.median(seconds):.2f} / {max(seconds):.2f} s" if seconds else ""

    def _seeds(self) -> str:
        found = sorted({int(each) for each in self.facts.get("seed", ())})
        if not found:
            return ""
        whole = len(found) > 1 and found == list(range(found[0], found[-1] + 1))
        return f"{found[0]}-{found[-1]}" if whole else ", ".join(map(str, found))


class Tally:
    """Counts what is reported, and shows it at the end."""

    def __init__(self, page: Path | None) -> None:
        self._page = page
        self._lines = {row: Line() for row in MATRIX}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test for the rows that name it."""
        test = report.nodeid.split("[", maxsplit=1)[0].removeprefix("tests/")
        for row in MATRIX:
            if row.names(test):
                self._count(self._lines[row], report)

    def _count(self, line: Line, report: pytest.TestReport) -> None:
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            line.skipped.add(reason.removeprefix("Skipped: "))
        elif report.when == "call":
            line.runs += 1
            line.failed += report.failed
            for name, value in report.user_properties:
                line.facts.setdefault(name, []).append(value)
        elif report.failed:
            line.runs, line.failed = line.runs + 1, line.failed + 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the table in the runs that are about it, and write the page if one is wanted."""
        if MODE:
            terminalreporter.section("faults: runs, tasks, lost, doubled, recovery p50 / worst, seeds")
            for row, line in ((row, line) for row, line in self._lines.items() if line.runs or line.skipped):
                terminalreporter.write_line(f"{row.title}: {' | '.join(cell or '-' for cell in line.cells())}")
        if self._page:
            self._page.write_text(self._as_page(), encoding="utf-8")
            terminalreporter.write_line(f"{self._page} written")

    def _as_page(self) -> str:
        lines = self._lines.values()
        return PAGE.format(
            machine=machine(),
            when=datetime.now(UTC).date().isoformat(),
            mode=", in the long run" if MODE == "long" else "",
            passed=sum(line.runs - line.failed for line in lines),
            failed=sum(line.failed for line in lines),
            skipped=sum(len(line.skipped) for line in lines),
            table=table(self._lines.items()),
            long_runs="ten times the schedules, every offset and the long cuts",
        )


def table(lines: Iterable[tuple[Row, Line]]) -> str:
    """Return the matrix with what its runs came to, as a table."""
    rows = [f"| {' | '.join([row.what, row.when, row.holds, *line.cells()])} |" for row, line in lines]
    return "\n".join([HEAD, RULE, *rows])


def machine() -> str:
    """Say what kind of machine this is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{os.cpu_count()} cores and {memory:.0f} GiB, {platform.system()}, Python {python}"
