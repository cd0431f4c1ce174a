"""Formats are found by content or named, and give the standard fields."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.errors import UsageError
from taskgrid.logs import count_field
from taskgrid.logs.counting import FieldCounts, count
from taskgrid.logs.fields import moment
from taskgrid.logs.formats import FORMATS, named, recognised
from taskgrid.logs.reading import whole_lines

COMBINED = '203.0.113.7 - - [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 512 "http://x/" "curl"'
SAMPLES = {
    "access": COMBINED,
    "access with a time": COMBINED + ' "-" 0.013',
    "vhost": "www.example.org:443 " + COMBINED,
    "syslog": "Dec 10 06:55:46 LabSZ sshd[24200]: Invalid user webmaster from 203.0.113.9",
    "syslog with a priority": "<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
    "syslog with an ISO time": "2026-03-02T10:20:30.123456+01:00 host kernel: [    0.0] Linux",
    "syslog5424": '<165>1 2003-10-11T22:14:15.003Z host app 17 ID47 [x@1 a="1\\"\\]" b="2"][y@1] message',
    "json": '{"level": "warn", "remote_addr": "203.0.113.7", "ts": 1772445600.25, "n": 3, "request": {"uri": "/a"}}',
}
FIELDS = [
    ("access", "client", "203.0.113.7"),
    ("access", "method", "GET"),
    ("access", "path", "/a?b=c"),
    ("access", "protocol", "HTTP/1.1"),
    ("access", "status", "200"),
    ("access", "bytes", "512"),
    ("access", "referrer", "http://x/"),
    ("access", "agent", "curl"),
    ("access", "user", "-"),
    ("access", "day", "2015-05-17"),
    ("access", "hour", "2015-05-17T10+0000"),
    ("access", "minute", "2015-05-17T10:05+0000"),
    ("access with a time", "duration", "0.013"),
    ("access with a time", "agent", "curl"),
    ("vhost", "host", "www.example.org:443"),
    ("vhost", "client", "203.0.113.7"),
    ("vhost", "status", "200"),
    ("syslog", "program", "sshd"),
    ("syslog", "pid", "24200"),
    ("syslog", "host", "LabSZ"),
    ("syslog", "hour", "--12-10T06"),
    ("syslog", "message", "Invalid user webmaster from 203.0.113.9"),
    ("syslog with a priority", "severity", "crit"),
    ("syslog with a priority", "facility", "auth"),
    ("syslog with a priority", "program", "su"),
    ("syslog with an ISO time", "hour", "2026-03-02T10+01:00"),
    ("syslog5424", "program", "app"),
    ("syslog5424", "severity", "notice"),
    ("syslog5424", "facility", "local4"),
    ("syslog5424", "id", "ID47"),
    ("syslog5424", "message", "message"),
    ("syslog5424", "hour", "2003-10-11T22Z"),
    ("json", "severity", "warn"),
    ("json", "client", "203.0.113.7"),
    ("json", "hour", "2026-03-02T10Z"),
    ("json", "n", "3"),
    ("json", "request.uri", "/a"),
]


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_format_is_found_by_its_lines(sample: str) -> None:
    """Most of the first lines decide, so that junk among them does no harm."""
    text = f"{SAMPLES[sample]}\n{SAMPLES[sample]}\njunk\n"
    assert recognised(text.encode()).name == sample.split(maxsplit=1)[0]


@pytest.mark.parametrize(("sample", "field", "value"), FIELDS)
def test_fields_have_one_name_in_all_formats(sample: str, field: str, value: str) -> None:
    """Of a good and a bad line, the good one's field is counted."""
    found = count([f"{SAMPLES[sample]}\r\n[bad\n".encode()], field, FORMATS[sample.split(maxsplit=1)[0]])
    assert found.values.counts == {value: 1}
    assert (found.lines, found.bad_lines, found.absent) == (2, 1, 0)


def test_anybodys_own_format_is_a_regular_expression() -> None:
    """Its named groups are the fields."""
    own = named(r"(?P<day>\d{6}) (?P<clock>\d{6}) (?P<pid>\d+) (?P<level>\w+) (?P<part>[^:]+): (?P<message>.*)")
    found = count([b"081109 203615 148 INFO dfs.DataNode: done\n081109 203616 9 WARN dfs.X: oh\n\n"], "level", own)
    assert found.values.counts == {"INFO": 1, "WARN": 1}
    assert found.bad_lines == 1


@pytest.mark.parametrize("name", ["combined", "common", "nginx", "rfc3164", "json"])
def test_formats_have_the_names_that_people_use(name: str) -> None:
    """Several lead to one."""
    assert named(name).name in FORMATS


@pytest.mark.parametrize("name", ["xml", "(?P<a", "(?P<a>x)("])
def test_an_unknown_format_is_refused(name: str) -> None:
    """The error says which there are, or what is wrong with the expression."""
    with pytest.raises(UsageError):
        named(name)


def test_a_log_of_no_known_format_is_refused() -> None:
    """A guess would count nothing but bad lines."""
    with pytest.raises(UsageError, match="no known format"):
        recognised(b"what\nis\nthis\n")


def test_an_unknown_field_is_refused_with_those_there_are() -> None:
    """A slip of the pen is no count of nothing."""
    with pytest.raises(UsageError, match=r"client.*path"):
        count([b""], "pathh", FORMATS["access"])


def test_what_a_good_line_lacks_is_absent() -> None:
    """It is neither a value nor bad."""
    common = COMBINED.partition(' "http')[0]
    found = count([f"{common}\n{COMBINED}\n".encode()], "agent", FORMATS["access"])
    assert (found.lines, found.bad_lines, found.absent) == (2, 0, 1)
    assert found.values.counts == {"curl": 1}


@settings(deadline=None)
@given(st.lists(st.sampled_from([*SAMPLES.values(), "junk", ""]), max_size=12), st.data())
def test_counts_add_up_whatever_the_split(lines: list[str], data: st.DataObject) -> None:
    """Blocks of any cut between lines, and parts merged in any order, give the same counts."""
    format_ = FORMATS[data.draw(st.sampled_from(list(FORMATS)))]
    raw = [line.encode() + b"\n" for line in lines]
    cut = data.draw(st.integers(0, len(raw)))
    whole = count([b"".join(raw)], "time", format_)
    assert count(raw, "time", format_) == whole
    first, second = (count([b"".join(part)], "time", format_) for part in (raw[:cut], raw[cut:]))
    assert second + first == FieldCounts.merge((first, second)) == whole


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_blocks_may_be_any_bytes_of_any_size(kind: type) -> None:
    """Large ones are cut where lines end, and a last line without newline gets one."""
    text = b"".join(b"%d\n" % number for number in range(1000)) + b"last"
    found = list(whole_lines([kind(text)], size=100))
    assert b"".join(found) == text + b"\n"
    assert all(block.endswith(b"\n") and len(block) <= 200 for block in found)


def test_a_file_is_counted_by_what_it_looks_like(tmp_path: Path) -> None:
    """Without a format's name, its first lines are looked at."""
    log = tmp_path / "log"
    log.write_text(f"{SAMPLES['syslog']}\n" * 3)
    assert count_field(log, "program").values.counts == {"sshd": 3}
    assert count_field(log, "status", "combined").bad_lines == 3


@pytest.mark.parametrize("time", ["", "yesterday", "-", "12345"])
def test_what_is_no_time_is_none(time: str) -> None:
    """It has neither day nor hour."""
    assert moment(time.encode()) is None


@pytest.mark.parametrize(
    ("time", "parts"),
    [
        ("17/May/2015:10:05:03 +0000", "2015-05-17 10 05 03 +0000"),
        ("17/May/2015:10+0000", "2015-05-17 10 00 00 +0000"),
        ("2026-03-02 10:20:30,123", "2026-03-02 10 20 30 "),
        ("2026/03/02 10:20:30", "2026-03-02 10 20 30 "),
        ("20260302T102030Z", ""),
        ("2026-03-02T102030.5Z", "2026-03-02 10 20 30 Z"),
        ("Dec  1 06:55:46", "--12-01 06 55 46 "),
        ("081109 203615", "2008-11-09 20 36 15 "),
        ("081109 20:36:15", "2008-11-09 20 36 15 "),
        ("1772446830", "2026-03-02 10 20 30 Z"),
        ("1772446830.5", "2026-03-02 10 20 30 Z"),
        ("1772446830123", "2026-03-02 10 20 30 Z"),
        ("1772446830123456", "2026-03-02 10 20 30 Z"),
    ],
)
def test_times_are_known_by_how_they_look(time: str, parts: str) -> None:
    """As access logs, syslog, ISO 8601, Hadoop and Unix write them, to the second."""
    found = moment(time.encode())
    assert (b" ".join(found).decode() if found else "") == parts
