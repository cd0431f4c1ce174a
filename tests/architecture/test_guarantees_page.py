"""The page of guarantees: each sentence that promises something names tests that show it, and those run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from named_tests import left_out

NOTE = re.compile(r"\[\^(\d+)\]")
SHOWN_BY = re.compile(r"^\[\^(\d+)\]: (.+)$", re.MULTILINE)
TEST = re.compile(r"`(\w+(?:/\w+)*\.py)::(test_\w+)`")
END = re.compile(r"(?<=[.\]])\s+(?=[A-Z`*])")
"""Where a sentence ends, its note included."""

PROMISES_NOTHING = (
    "**Exactly-once side effects.** A function",
    "Make effects idempotent",
    "**Honest results**",
    "**A sandbox.** An offered function",
    "`taskgrid.logs` reads any file",
    "**One attempt at a time of what is cancelled",
    "Who retries it before that",
    "`taskgrid master --durability",
    "nothing; for tests",
    "The promise of `power` is as good",
    "What was broken to try this",
)
"""How sentences begin that say what is not promised, advise, or lead elsewhere."""


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    """Return the page's text."""
    return (root / "docs" / "guarantees.md").read_text(encoding="utf-8")


def sentences(page: str) -> Iterator[str]:
    """Yield the sentences of paragraphs, points and tables, of these the second column."""
    prose = page.partition("## Shown by")[0]
    lines = prose.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if not line.strip() or line.startswith(("#", "|---")) or following.startswith("|---"):
            continue
        text = line.split("|")[2] if line.startswith("|") else line.removeprefix("- ")
        yield from END.split(text.strip())


def test_each_sentence_that_promises_something_names_its_tests(page: str) -> None:
    """A promise that is added needs a test, and a number that leads to it."""
    found = list(sentences(page))
    assert len(found) > 40
    bare = [each for each in found if not NOTE.search(each[-6:]) and not each.startswith(PROMISES_NOTHING)]
    assert not bare, "\n".join(bare)
    assert all(any(each.startswith(start) for each in found) for start in PROMISES_NOTHING)


def test_each_number_leads_to_tests_that_exist_and_run(root: Path, page: str) -> None:
    """A test that was renamed, moved, or put behind a switch is noticed here."""
    prose, _, shown = page.partition("## Shown by")
    notes = dict(SHOWN_BY.findall(shown))
    assert list(notes) == [str(number) for number in range(1, len(notes) + 1)]
    assert set(NOTE.findall(prose)) == set(notes)
    named = {number: TEST.findall(text) for number, text in notes.items()}
    assert all(named.values())
    tests = sorted({test for several in named.values() for test in several})
    gone = [f"{file}::{name}" for file, name in tests if name not in _names(root / "tests" / file)]
    assert not gone
    assert not left_out(root, [name for _, name in tests])


def _names(file: Path) -> set[str]:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return set(re.findall(r"^def (test_\w+)", text, re.MULTILINE))
