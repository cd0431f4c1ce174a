"""From a file to its summary: plain or gzip, any ending, any junk, in bounded memory."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from taskgrid.errors import FileDamaged
from taskgrid.logs import AccessSummary, access, access_summary

LINE = b'203.0.113.7 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 512 "-" "curl"\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return where a test's log goes."""
    return tmp_path / "access.log"


def summary_of(log: Path, content: bytes) -> AccessSummary:
    """Write a log and summarise it."""
    log.write_bytes(content)
    return access_summary(log)


def test_a_summary_holds_what_the_lines_add_up_to(log: Path) -> None:
    """Totals, statuses, methods, paths, clients and hours are exact."""
    content = LINE * 3 + LINE.replace(b"GET /a", b"POST /b?c=1").replace(b" 200 512", b" 304 -") + b"junk\n"
    summary = summary_of(log, content)
    assert (summary.files, summary.lines, summary.bad_lines, summary.bytes) == (1, 5, 1, 3 * 512)
    assert summary.statuses == {200: 3, 304: 1}
    assert summary.methods.counts == {"GET": 3, "POST": 1}
    assert summary.paths.counts == {"/a": 3, "/b?c=1": 1}
    assert summary.clients.counts == {"203.0.113.7": 4}
    assert summary.hours.counts == {"2015-05-17T10+0000": 4}


def test_gzip_is_known_by_its_content_whatever_its_name(log: Path) -> None:
    """A rotated log counts like the plain one, also one made of several gzip members."""
    packed = gzip.compress(LINE * 10) + gzip.compress(LINE * 5)
    assert summary_of(log, packed) == summary_of(log, LINE * 15)


def test_a_gzip_that_is_cut_off_is_an_error(log: Path) -> None:
    """Half a file is never given out for the whole."""
    lines = b"".join(LINE.replace(b"/a", b"/%d" % number) for number in range(1000))
    log.write_bytes(gzip.compress(lines)[:-100])
    with pytest.raises(FileDamaged):
        access_summary(log)


def test_a_last_line_without_newline_counts(log: Path) -> None:
    """Nothing is lost at the end of a file that is cut at its last byte."""
    assert summary_of(log, (LINE * 2).rstrip()) == summary_of(log, LINE * 2)


def test_windows_line_ends_change_nothing(log: Path) -> None:
    """CRLF files count like others."""
    assert summary_of(log, LINE.replace(b"\n", b"\r\n") * 2) == summary_of(log, LINE * 2)


def test_an_empty_file_is_an_empty_summary(log: Path) -> None:
    """There is nothing in it, and that is no error."""
    assert summary_of(log, b"") == AccessSummary(files=1)


def test_binary_junk_is_bad_lines(log: Path) -> None:
    """Random bytes never fail a task, and never count as hits."""
    junk = random.Random(1).randbytes(300_000)
    summary = summary_of(log, junk + b"\n" + LINE)
    assert summary.lines == junk.count(b"\n") + 2
    assert summary.lines - summary.bad_lines == 1


def test_bytes_that_are_no_utf8_survive_as_escapes(log: Path) -> None:
    r"""A path with a stray 0xff is shown as `\xff`, so that the result is JSON."""
    summary = summary_of(log, LINE.replace(b"/a", b"/\xff\xc3\xa9"))
    assert summary.paths.counts == {"/\\xff\u00e9": 1}
    assert AccessSummary.model_validate_json(summary.model_dump_json()) == summary


def test_what_is_not_http_has_neither_method_nor_path(log: Path) -> None:
    """A request that timed out, or TLS spoken to a plain port, counts as `-`."""
    content = LINE.replace(b"GET /a HTTP/1.1", b"-") + LINE.replace(b"GET /a HTTP/1.1", b"\\x16\\x03\\x01")
    summary = summary_of(log, content)
    assert summary.methods.counts == summary.paths.counts == {"-": 2}


def test_a_result_fits_into_a_mebibyte_whatever_the_log_holds(log: Path) -> None:
    """Names are kept by count until the space is used up; how much is missing is said."""
    draw = random.Random(2)
    lines = []
    for number in range(9000):
        path = draw.randbytes(400).replace(b"\n", b"").replace(b'"', b"").replace(b"\\", b"").replace(b" ", b"")
        stamp = b"%02d/May/%04d:%02d" % (number % 28 + 1, 1000 + number, number % 24)
        lines.append(LINE.replace(b"/a", b"/" + path).replace(b"17/May/2015:10", stamp) + LINE)
    summary = summary_of(log, b"".join(lines))
    assert summary.bad_lines == 0
    assert len(json.dumps(summary.model_dump(mode="json"))) < 1 << 20
    assert len(summary.paths.counts) < 9000
    assert summary.paths.missed == 1
    assert summary.paths.top(1) == [("/a", 9000)]


def test_names_beyond_the_bound_are_missed_by_no_more_than_is_said(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with endless distinct paths takes bounded memory, and every true count is within the bound."""
    monkeypatch.setattr(access, "MOST_NAMES", 100)
    draw = random.Random(3)
    paths = [b"/%d" % int(draw.paretovariate(0.5)) for _ in range(20_000)]
    summary = summary_of(log, b"".join(LINE.replace(b"/a", path) for path in paths))
    assert 0 < summary.paths.missed < 2000
    for path in set(paths):
        kept = summary.paths.counts.get(path.decode(), 0)
        assert kept <= paths.count(path) <= kept + summary.paths.missed


def test_what_several_names_of_a_column_are_lacks_what_all_of_them_had(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method has endless requests, and a path some: of each of them one was dropped at a time."""
    monkeypatch.setattr(access, "MOST_NAMES", 100)
    draw = random.Random(4)
    requests = [(draw.choice((b"GET", b"HEAD", b"POST")), b"/%d" % draw.randrange(300)) for _ in range(3000)]
    lines = [LINE.replace(b"GET /a", b"%b %b" % request) for request in requests]
    summary = AccessSummary.merge(
        summary_of(log, b"".join(lines[start : start + 1000])) for start in range(0, len(lines), 1000)
    )
    for at, tally in ((0, summary.methods), (1, summary.paths)):
        for name, hits in Counter(request[at].decode() for request in requests).items():
            kept = tally.counts.get(name, 0)
            assert kept <= hits <= kept + tally.missed
        assert tally.missed < len(requests)
