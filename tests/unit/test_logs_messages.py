"""Logs without requests: what they say adds up exactly, whatever the split, in any format."""

from __future__ import annotations

import json
import resource
from collections import Counter
from pathlib import Path

import pytest
from files_scene import slices_of
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.logs import AccessSummary, LogSummary, messages, summary_of
from taskgrid.logs.formats import FORMATS, named
from taskgrid.logs.messages import summarised
from taskgrid.logs.period import Period
from taskgrid.logs.report import render
from taskgrid.merging import Tally

PLAIN = [
    "Dec 10 06:55:46 web1 sshd[24200]: Failed password for root from 203.0.113.7 port 4711 ssh2",
    "Dec 10 06:55:48 web1 sshd[24201]: Failed password for root from 203.0.113.8 port 80 ssh2",
    "Dec  9 23:59:59 web2 CRON[7]: session opened for 'bob'",
    "   at java.lang.Foo(Foo.java:17)",
    "Dec 10 07:00:00 web1 no tag at all",
]
TEXT = "".join(f"{line}\n" for line in PLAIN)


def of(text: str, log: str = "syslog") -> LogSummary:
    """Summarise a text."""
    return summarised([text.encode()], FORMATS.get(log) or named(log))


def test_a_syslog_adds_up_to_what_an_operator_asks_first() -> None:
    """Lines, bytes, from when to when, by hour, who said what how often, and what of it is a warning."""
    assert of(TEXT) == LogSummary(
        files=1,
        lines=5,
        bad_lines=1,
        size=len(TEXT),
        period=Period(first="--12-09T23:59:59", last="--12-10T07:00:00"),
        hours=Tally(counts={"--12-09T23": 1, "--12-10T06": 2, "--12-10T07": 1}),
        hosts=Tally(counts={"web1": 3, "web2": 1}),
        programs=Tally(counts={"sshd": 2, "CRON": 1}),
        messages=Tally(
            counts={
                "sshd: Failed password for root from <ip> port <num> ssh2": 2,
                "CRON: session opened for <str>": 1,
                "no tag at all": 1,
            }
        ),
        warnings=Tally(counts={"sshd: Failed password for root from <ip> port <num> ssh2": 2}),
        bad=Tally(counts={"   at java.lang.Foo(Foo.java:<num>)": 1}),
    )


@pytest.mark.parametrize("log", ["syslog", "syslog5424"])
def test_severity_and_facility_are_those_of_the_priority(log: str) -> None:
    """A severity decides what is a warning, whatever the words."""
    head = "1 2026-03-02T10:20:30Z host app - - -" if log == "syslog5424" else "2026-03-02T10:20:30Z host app:"
    summary = of(f"<84>{head} all is well\n<38>{head} nothing failed\n<191>{head} 5\n", log)
    assert summary.severities.counts == {"warning": 1, "info": 1, "debug": 1}
    assert summary.facilities.counts == {"authpriv": 1, "auth": 1, "local7": 1}
    assert summary.warnings.counts == {"warning: app: all is well": 1}
    assert summary.bad_lines == 0


def test_json_lines_have_what_programs_and_the_journal_call_it() -> None:
    """Other names for the fields, levels by number or word; a message of many lines is its first."""
    rows: list[dict[str, object]] = [
        {"ts": "2026-03-02T10:20:30.5Z", "level": "WARN", "logger": "db", "msg": "slow: 12 s\n  SELECT 1"},
        {"time": 1772446830123, "level": 50, "name": "api", "hostname": "web1", "msg": "gone"},
        {"__REALTIME_TIMESTAMP": "1772446830123456", "PRIORITY": "3", "SYSLOG_FACILITY": "10", "MESSAGE": "oh"},
        {"level": "Chatter", "event": "it failed", "n": 1},
        {"n": 1},
    ]
    summary = of("".join(json.dumps(row) + "\n" for row in rows) + "null\n", "json")
    assert summary.severities.counts == {"warning": 1, "err": 2, "chatter": 1}
    assert summary.facilities.counts == {"authpriv": 1}
    assert summary.messages.counts == {"db: slow: <num> s": 1, "api: gone": 1, "oh": 1, "it failed": 1}
    assert summary.warnings.counts == {"warning: db: slow: <num> s": 1, "err: api: gone": 1, "err: oh": 1}
    assert summary.period == Period(first="2026-03-02T10:20:30Z", last="2026-03-02T10:20:30Z")
    assert (summary.lines, summary.bad_lines, summary.hours.counts) == (6, 1, {"2026-03-02T10Z": 3})


def test_anybodys_own_format_is_summed_up_by_its_groups() -> None:
    """By the standard names or others that are known; what it has no group for has no table."""
    own = r"(?P<time>\d+ \d+) \d+ (?P<level>\w+) (?P<program>[^:]+): (?P<message>.*)"
    summary = of("081109 203615 148 INFO dfs.X: done 5\n081109 213616 9 FATAL dfs.X: oh\nwhat\n", own)
    assert summary.severities.counts == {"info": 1, "crit": 1}
    assert summary.period == Period(first="2008-11-09T20:36:15", last="2008-11-09T21:36:16")
    assert summary.warnings.counts == {"crit: dfs.X: oh": 1}
    assert (summary.hosts.counts, summary.bad.counts) == ({}, {"what": 1})
    assert of("081109 203615 148 INFO dfs.X: \n", own).messages.counts == {}
    bare = of("a 1\n", r"(?P<what>\w) .*")
    assert (bare.lines, bare.bad_lines, bare.messages.counts) == (1, 0, {})


LINES = st.sampled_from(
    [
        *PLAIN,
        "",
        "<13>2026-03-02T00:20:30.123+01:00 web3 app: took 5 ms",
        "<11>2026-03-01T23:59:30-05:00 web3 app: \xff 'x'",
        "Feb 31 00:00:00 web1 kernel: no such day",
    ]
)


@settings(deadline=None)
@given(st.lists(LINES, max_size=12), st.data())
def test_summaries_add_up_whatever_the_split(lines: list[str], data: st.DataObject) -> None:
    """Blocks of any cut between lines, and parts merged in any order, give the same summary."""
    raw = [line.encode("latin-1") + b"\n" for line in lines]
    log = FORMATS["syslog"]
    cut = data.draw(st.integers(0, len(raw)))
    whole = summarised([b"".join(raw)], log)
    assert summarised(raw, log) == whole
    first, second = (summarised([b"".join(part)], log, files=0) for part in (raw[:cut], raw[cut:]))
    assert second + first == first + second == whole.model_copy(update={"files": 0})
    assert LogSummary.model_validate_json(whole.model_dump_json()) == whole


def test_slices_add_up_to_the_file_also_without_a_last_newline(tmp_path: Path) -> None:
    """To the byte; and each slice is read as its file begins, be it all damaged."""
    log = tmp_path / "auth.log"
    log.write_text(TEXT * 50 + "junk\n" * 500 + PLAIN[0])
    slices = slices_of(log, 1000)
    assert len(slices) > 10
    (whole,) = slices_of(log, 1 << 30)
    assert LogSummary.merge(map(summary_of, slices)) == summary_of(whole)
    assert summary_of(whole).size == log.stat().st_size
    assert summary_of(whole).bad.counts["junk"] == 500


def test_a_log_is_summed_up_by_requests_if_most_lines_of_its_beginning_have_one(tmp_path: Path) -> None:
    """JSON lines may be a server's or not; and both go into one summary."""
    hit = {"remote_addr": "203.0.113.7", "status": 404, "uri": "/a", "time": "2026-03-02T10:00:00Z"}
    note = {"level": "error", "msg": "no more workers", "time": "2026-03-02T11:00:00Z"}
    for name, rows in {"web": [hit, hit, note], "app": [note, hit, note, note]}.items():
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    web, app = (summary_of(slices_of(tmp_path / name, 1 << 30)[0]) for name in ("web", "app"))
    assert (web.statuses, web.bad_lines, web.messages.counts) == ({404: 2}, 1, {})
    assert (app.statuses, app.bad_lines, app.messages.counts) == ({}, 0, {"no more workers": 3})
    both = render(web + app)
    assert "7 lines in 2 files, 1 bad; 0 B sent to clients; " in both
    assert " of messages\nfrom 2026-03-02 10:00:00Z to 2026-03-02 11:00:00Z\n" in both
    assert "404 Not Found" in both
    assert "Lines by hour, times +0000" in both


def test_times_are_compared_as_instants_and_those_without_a_year_apart() -> None:
    """Other zones are other clocks; a time without a year counts only where none has one; what can't be is none."""
    east, west, late = "2026-03-02T00:20:30+01:00", "2026-03-01T19:59:30-05:00", "2026-03-02T01:59:60Z"
    assert Period.of([east, late, west]) == Period(first=east, last=late)
    assert Period.of([west, late, east]) == Period(first=east, last=late)
    assert Period.of(["--12-10T00:00:00", east, "2026-02-31T00:00:00Z", "0001-01-01T00:00:00Z"]) == Period(
        first=east, last=east
    )
    assert Period.of(["--12-10T00:00:00", "--01-10T00:00:00"]).first == "--01-10T00:00:00"
    zones = of("".join(f"{time} host app: x\n" for time in (late, west, east, "Dec  1 00:00:00")))
    assert zones.period == Period(first=east, last=late)
    assert Period.merge([Period(), Period(first=east, last=east)]) == Period(first=east, last=east)


def test_a_result_fits_into_a_mebibyte_whatever_the_log_holds() -> None:
    """What is frequent is kept; what may be missing is said."""
    lines = [
        f"<11>{2000 + number % 90}-01-{number % 28 + 1:02}T{number % 24:02}:00:00Z {'h' * 90}{chr(97 + number % 26)}"
        f"{number:x}g p{number:x}g{'q' * 300}: {chr(97 + number % 26)}x{'y' * (number % 900)} failed"
        for number in range(9000)
    ]
    common = "<11>2026-01-01T00:00:00Z host app: it failed"
    summary = of("".join(f"{line}\n{common}\n" for line in lines) + "".join(f"{'b' * n}\n" for n in range(900)))
    assert len(summary.model_dump_json()) < 1 << 20
    assert summary.messages.missed > 0
    assert summary.messages.top(1) == [("app: it failed", 9000)]
    assert summary.warnings.top(1) == [("err: app: it failed", 9000)]


def test_counts_beyond_the_bound_are_missed_by_no_more_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of endless different messages, at several severities each, takes bounded memory."""
    monkeypatch.setattr(messages, "MOST_NAMES", 50)
    said = [f"{'abcdefghij'[number % 10] * (number % 37 + 1)}" for number in range(5000)]
    blocks = [f"<{number % 8}>2026-01-01T00:00:00Z h p: {text}\n".encode() for number, text in enumerate(said)]
    summary = summarised([b"".join(blocks[at : at + 50]) for at in range(0, 5000, 50)], FORMATS["syslog"])
    assert len(summary.messages.counts) <= 50
    assert summary.messages.missed > 0
    for text, hits in Counter(said).items():
        kept = summary.messages.counts.get(f"p: {text}", 0)
        assert kept <= hits <= kept + summary.messages.missed


def test_a_report_of_messages_keeps_to_a_terminal() -> None:
    """Long messages are wrapped, endless ones cut; control characters don't reach it."""
    text = render(
        LogSummary(
            files=1,
            lines=3,
            size=10,
            severities=Tally(counts={"info": 5, "odd": 9, "err": 1}),
            messages=Tally(counts={"app: \x1b[2J " + "word " * 99: 5, "x" * 500: 4, "": 1}),
        )
    )
    assert "3 lines in 1 file, 0 bad; 10 B\n" in text
    assert [line.split()[0] for line in text.partition("Severities\n")[2].splitlines()[:3]] == ["err", "info", "odd"]
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) < 20


@pytest.mark.parametrize("line", ['Dec 10 06:55:46 h p: "' + "a" * (1 << 22), "1.1." * (1 << 20)])
def test_a_huge_line_takes_no_memory_to_speak_of(line: str) -> None:
    """Good or bad: it is cut before anything looks for what differs in it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    summary = of(f"{line}\n")
    assert summary.lines == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10, "kibibytes"


def test_json_text_that_is_no_utf8_and_priorities_of_programs_own() -> None:
    """As the systemd journal writes it; and a program's priority is of no facility."""
    summary = of(json.dumps({"MESSAGE": [104, 105, 255], "priority": 5}) + "\n", "json")
    assert summary.messages.counts == {"hi\\xff": 1}
    assert (summary.severities.counts, summary.facilities.counts) == ({"notice": 1}, {})


def test_levels_that_syslog_does_not_know_are_shown_as_far_as_others_are() -> None:
    """A format whose level is none makes no endless table."""
    lines = "".join(f"L{number % 300} text\n" for number in range(3000)) + "error text\n" * 20
    shown = render(of(lines, r"(?P<level>\w+) (?P<message>.*)"), top=3)
    table = next(part for part in shown.split("\n\n") if part.startswith("Severities"))
    assert [row.split()[0] for row in table.splitlines()[1:]] == ["err", "l0", "l1", "l10"]


def test_summaries_of_both_kinds_add_up_in_any_order() -> None:
    """What one of them has nothing of is the other's."""
    access, messages_ = AccessSummary(lines=1, statuses={200: 1}), of(TEXT)
    for both in (access + messages_, messages_ + access, LogSummary.merge([access, messages_])):
        assert isinstance(both, LogSummary)
        assert (both.lines, both.statuses, both.messages) == (6, {200: 1}, messages_.messages)


def test_half_of_the_lines_having_a_request_are_not_most(tmp_path: Path) -> None:
    """Else all others were bad lines, and what they say nowhere to be seen."""
    lines = [{"level": "error", "msg": "the database is gone"}, {"status": 200, "path": "/"}] * 50
    log = tmp_path / "app.log"
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    summary = LogSummary.merge(map(summary_of, slices_of(log, 1 << 30)))
    assert (summary.bad_lines, summary.warnings.counts) == (0, {"err: the database is gone": 50})
