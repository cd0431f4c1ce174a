"""The page that says what is defended names tests, and those tests exist and run."""

from __future__ import annotations

import re
from pathlib import Path

from named_tests import NAME, left_out, named_in

ROW = re.compile(r"^\| (?P<line>[^|]+) \| [^|]+ \| (?P<tests>`test_[^|]+) \|$", re.MULTILINE)


def test_every_line_of_defence_names_tests_that_exist(root: Path) -> None:
    """A promise whose test was renamed or removed is noticed here."""
    page = (root / "SECURITY.md").read_text(encoding="utf-8")
    rows = {row["line"]: NAME.findall(row["tests"]) for row in ROW.finditer(page)}
    assert len(rows) >= 15
    assert all(rows.values())
    there = named_in(root)
    assert not sorted({name for names in rows.values() for name in names} - set(there))
    assert set(NAME.findall(page)) <= set(there)


def test_no_line_of_defence_rests_on_a_test_that_is_left_out(root: Path) -> None:
    """What shows a defence runs in `make test`, not behind a switch."""
    page = (root / "SECURITY.md").read_text(encoding="utf-8")
    assert not left_out(root, NAME.findall(page))
