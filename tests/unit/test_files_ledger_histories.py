"""Whatever happens to files between runs, what is remembered equals what a plain reading finds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskgrid.clock import ManualClock
from taskgrid.files.identity import Identity
from taskgrid.files.ledger import Ledger
from taskgrid.files.remembered import Done, Entry, Recipe
from taskgrid.files.standing import Finding, Seen, Standing
from taskgrid.files.stored import Stored

NAMES = ("a", "b", "c")
RECIPE = Recipe(function="m:f", code="c1")
MEMORY = Path("/dev/shm")
"""A disk would be asked to sync thousands of times."""
COARSEST = 2.0
"""Seconds: FAT keeps times of change in such steps."""


class Folder:
    """Some files, what can happen to them, and a run that remembers their contents as values."""

    def __init__(self, root: Path, ledger: Ledger, clock: ManualClock) -> None:
        self.root = root
        self.ledger = ledger
        self.clock = clock
        self.lines = count()

    def append(self, path: Path) -> None:
        self._write(path, self._content(path) + self._line())

    def append_half_a_line(self, path: Path) -> None:
        self._write(path, self._content(path) + self._line()[:-1])

    def rewrite_in_place(self, path: Path) -> None:
        """Keep the size; the time of change may stay the same too, if its step is the same."""
        self._write(path, (self._line() + self._content(path))[: len(self._content(path))])

    def truncate(self, path: Path) -> None:
        self._write(path, self._content(path)[: len(self._content(path)) // 2])

    def copy_and_truncate(self, path: Path) -> None:
        self._write(self.root / "c", self._content(path))
        self._write(path, self._line() * 6)

    def rename_to_next(self, path: Path) -> None:
        if path.exists():
            path.rename(self.root / NAMES[(NAMES.index(path.name) + 1) % len(NAMES)])

    def replace_with_same_size_and_time(self, path: Path) -> None:
        if not path.exists():
            return
        was = path.stat()
        new = self.root / "new"
        new.write_bytes((self._line() + self._content(path))[: was.st_size])
        os.utime(new, ns=(0, was.st_mtime_ns))
        new.replace(path)

    def touch(self, path: Path) -> None:
        if path.exists():
            self._stamp(path)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def _content(self, path: Path) -> bytes:
        return path.read_bytes() if path.exists() else b""

    def _line(self) -> bytes:
        return b"line %06d\n" % next(self.lines)  # as long as any other: what was rewritten has its line ends there too

    def _write(self, path: Path, content: bytes) -> None:
        path.touch()
        path.write_bytes(content)
        self._stamp(path)

    def _stamp(self, path: Path) -> None:
        os.utime(path, ns=(0, int(self.clock.now() // COARSEST * COARSEST) * 10**9))

    def run(self) -> list[Finding]:
        """Run as a user's run does: what grew is read from where it ended."""
        paths = [self.root / name for name in NAMES if (self.root / name).exists()]
        listing = [Seen.of(path, path.stat()) for path in paths]
        findings = list(self.ledger.compare(RECIPE, listing, tail_after="\n"))
        due = [finding for finding in findings if finding.due]
        run = self.ledger.begin(RECIPE, "key", map(_entry, due))
        self.ledger.record(run, [Done(number, self._value(finding)) for number, finding in enumerate(due)])
        self.ledger.end(run)
        assert {each.path: each.value for each in self.ledger.remembered(RECIPE, paths)} == {
            path: path.read_bytes() for path in paths
        }
        return findings

    def _value(self, finding: Finding) -> bytes:
        path = finding.seen.path
        before = b""
        if finding.standing is Standing.GROWN:
            before = next(self.ledger.remembered(RECIPE, [path])).value or b""
        return before + path.read_bytes()[finding.since :]


def _entry(finding: Finding) -> Entry:
    with Stored(finding.seen.path) as stored:
        return Entry(finding.seen.path, finding.identity or Identity.of(stored), start=finding.since)


@contextmanager
def _folder() -> Iterator[Folder]:
    clock = ManualClock()
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as root,
        Ledger.open(Path(root) / "l.ledger", clock) as ledger,
    ):
        yield Folder(Path(root), ledger, clock)


EVENTS = (
    Folder.append,
    Folder.append_half_a_line,
    Folder.rewrite_in_place,
    Folder.truncate,
    Folder.copy_and_truncate,
    Folder.rename_to_next,
    Folder.replace_with_same_size_and_time,
    Folder.touch,
    Folder.remove,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from((*EVENTS, None, None, None)), st.sampled_from(NAMES), st.sampled_from((0.0, 0.0, 0.7, 1.9, 5.0))
    ),
    min_size=5,
    max_size=40,
)


@given(STEPS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_what_is_remembered_is_what_a_plain_reading_finds(steps: list[tuple[object, str, float]]) -> None:
    """Appended to, rotated either way, truncated, renamed, replaced, within one step of the clock or apart."""
    with _folder() as folder:
        for event, name, passed in steps:
            if callable(event):
                event(folder, folder.root / name)
            else:
                folder.run()
            folder.clock.advance(passed)
        folder.run()


@given(st.lists(st.sampled_from(NAMES), max_size=10), st.integers(0, 3))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=20)
def test_what_settled_is_not_read_again_and_growth_by_its_tail_alone(appended: list[str], runs: int) -> None:
    """The ledger would be right too if it read everything each time: it does not."""
    with _folder() as folder:
        for name in NAMES:
            folder.append(folder.root / name)
        folder.clock.advance(5)
        for _ in range(1 + runs):
            folder.run()
        sizes = {name: (folder.root / name).stat().st_size for name in NAMES}
        for name in appended:
            folder.append(folder.root / name)
        folder.clock.advance(5)
        found = {finding.seen.path.name: (finding.standing, finding.since) for finding in folder.run()}
        assert found == {
            name: (Standing.GROWN, sizes[name]) if name in appended else (Standing.UNCHANGED, 0) for name in NAMES
        }
