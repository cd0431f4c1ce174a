"""The pages say what the code does: links lead somewhere, generated pages are up to date, tables agree."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgrid.lifecycle import TRANSITIONS

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```\s*$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\|\s*`?(\w+)`?\s*\|\s*`?(\w+)`?\s*\|\s*`?(\w+)`?\s*\|", re.MULTILINE)


def _pages(root: Path) -> list[Path]:
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def _prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def _anchors(page: Path) -> set[str]:
    """Return the anchors as GitHub makes them from headings."""
    made: dict[str, int] = {}
    anchors = set()
    for heading in HEADING.findall(_prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = made.get(anchor, 0)
        made[anchor] = count + 1
        anchors.add(f"{anchor}-{count}" if count else anchor)
    return anchors


def _dead_links(page: Path) -> Iterator[str]:
    prose = _prose(page)
    for link in [*LINK.findall(prose), *IMAGE.findall(prose)]:
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists():
            yield f"{page}: {link}: no such file"
        elif anchor and target.suffix == ".md" and anchor not in _anchors(target):
            yield f"{page}: {link}: no such heading"


def test_every_link_leads_somewhere(root: Path) -> None:
    """No page sends its reader to a file or a heading that is not there."""
    dead = [link for page in _pages(root) for link in _dead_links(page)]
    assert not dead, "\n".join(dead)


def test_the_life_of_a_task_shows_the_state_table(root: Path) -> None:
    """The page's table has exactly the transitions that the code has."""
    page = root / "docs" / "life-of-a-task.md"
    if not page.exists():
        pytest.skip("docs/life-of-a-task.md is not written")
    states = {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values())
    shown = {row for row in ROW.findall(page.read_text(encoding="utf-8")) if row[0] in states and row[2] in states}
    assert shown == {(str(state), str(event), str(target)) for (state, event), target in TRANSITIONS.items()}


def test_generated_pages_are_up_to_date(root: Path) -> None:
    """What the reference says about settings and commands is what the code says today."""
    command = [sys.executable, str(root / "docs" / "generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def test_words_that_mislead_are_not_used(root: Path) -> None:
    """Pages keep to the glossary: nothing is called a utility, nothing is left to do."""
    wrong = [
        f"{page}: {found.group(0)}"
        for page in _pages(root)
        if (found := re.search(r"\b(TODO|FIXME|TBD|lorem)\b", page.read_text(encoding="utf-8")))
    ]
    assert not wrong
