"""A summary as a page: well-formed, whole, and nothing of a log is ever markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from taskgrid.logs import AccessSummary, LogSummary, Tally
from taskgrid.logs.web_page import page

EVIL = '/"><script>alert(1)</script>&amp;'


class Reader(HTMLParser):
    """Reads a page: tags that are open, and its text."""

    VOID = frozenset({"meta", "line", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Open a tag."""
        del attrs
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Pass by."""
        del attrs
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.text.append(data)


def test_a_page_is_whole_and_holds_what_the_log_says_as_text() -> None:
    """Each section is there; what looks like markup is shown."""
    summary = AccessSummary(
        files=1,
        lines=1234,
        statuses={200: 1000, 404: 30},
        paths=Tally(counts={EVIL: 7, "/b": 3}, missed=1),
        hours=Tally(counts={"2015-05-17T10+0000": 8, "2015-05-17T12+0000": 4}),
    )
    reader = Reader()
    reader.feed(page(summary, f"logs {EVIL}"))
    reader.close()
    assert not reader.open
    assert "script" not in reader.seen
    text = "".join(reader.text)
    assert EVIL in text
    assert "1,234 lines in 1 file," in text
    assert "404 Not Found" in text
    assert "2015-05-17 11:00: 0" in text
    assert "may have up to 1 more" in text


def test_an_empty_summary_is_a_page_too() -> None:
    """With nothing but its totals."""
    reader = Reader()
    reader.feed(page(AccessSummary(), "nothing"))
    assert not reader.open
    assert "svg" not in reader.seen


def test_messages_are_shown_in_full_and_what_is_bad_is_marked() -> None:
    """Whole lines of a log get the page's width; severities from a warning on stand out."""
    shown = page(
        LogSummary(
            lines=9,
            size=99,
            severities=Tally(counts={"err": 2, "info": 7}),
            messages=Tally(counts={f"sshd: {EVIL}": 9}),
            hours=Tally(counts={"--12-10T06": 9}),
        ),
        "auth.log",
    )
    reader = Reader()
    reader.feed(shown)
    assert not reader.open
    assert "script" not in reader.seen
    text = "".join(reader.text)
    assert f"sshd: {EVIL}" in text
    assert "Lines by hour" in text
    assert '<section class="wide">\n<h2>Messages' in shown
    assert re.findall(r"<tr class=bad><td[^>]*>(\w+)", shown) == ["err"]
