"""Logs by slices: the same answers as whole, whatever the split, compression and format."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import pytest
from files_scene import slices_of

from taskgrid.logs import AccessSummary, FieldCounts, LogSummary, access_summary, counts_of, matches_of, summary_of

LINE = '203.0.113.{} - - [17/May/2015:{:02}:05:03 +0000] "GET /a{} HTTP/1.1" {} 512 "-" "curl"'
LINES = [LINE.format(number % 7, number % 24, number % 5, (200, 404)[number % 9 == 0]) for number in range(2000)]
TEXT = "".join(f"{line}\n" for line in [*LINES[:1000], "junk", *LINES[1000:]]).encode()


@pytest.fixture(params=["plain", "gzip", "bzip2"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a log, compressed in some way."""
    path = tmp_path / "access.log"
    cut = TEXT.index(b"\n", len(TEXT) // 2) + 1
    members = [TEXT[:cut], TEXT[cut:]]
    path.write_bytes(
        {
            "plain": TEXT,
            "gzip": b"".join(gzip.compress(part, mtime=0) for part in members),
            "bzip2": b"".join(map(bz2.compress, members)),
        }[request.param]
    )
    return path


def of_requests(summary: AccessSummary) -> LogSummary:
    """Return the summary of logs that have nothing but requests."""
    return LogSummary(**dict(summary))


@pytest.mark.parametrize("size", [1 << 30, 3001])
def test_slices_add_up_to_the_whole(log: Path, size: int, tmp_path: Path) -> None:
    """One summary, one count, and every matching line once, in order."""
    slices = slices_of(log, size)
    whole = tmp_path / "whole"
    whole.write_bytes(TEXT)
    assert LogSummary.merge(map(summary_of, slices)) == of_requests(access_summary(whole))
    counted = FieldCounts.merge(counts_of(each, "status") for each in slices)
    assert (counted.lines, counted.bad_lines, counted.absent) == (2001, 1, 0)
    assert counted.values.counts == {"200": 1777, "404": 223}
    found = [line.decode() for each in slices for line in matches_of(each, " 404 ").found()]
    assert found == [line for line in LINES if " 404 " in line]


def test_every_slice_is_read_as_its_file_begins(tmp_path: Path) -> None:
    """A slice in which most lines are damaged is still of the file's format."""
    log = tmp_path / "log"
    log.write_text("\n".join([*LINES[:100], *["damaged"] * 5000]))
    counted = FieldCounts.merge(counts_of(each, "status") for each in slices_of(log, 5000))
    assert (counted.bad_lines, sum(counted.values.counts.values())) == (5000, 100)


def test_json_logs_of_a_server_have_the_same_summary(tmp_path: Path) -> None:
    """Whatever the server calls the fields, and whether it has the request in one or in parts."""
    plain, as_json = tmp_path / "plain", tmp_path / "json"
    plain.write_bytes(TEXT.replace(b"junk", b"[]"))
    rows = []
    for number, line in enumerate(LINES):
        client, status, path = line.split()[0], line.split('"')[2].split()[0], line.split('"')[1].split()[1]
        request = {"request": f"GET {path} HTTP/1.1"} if number % 2 else {"method": "GET", "uri": path}
        time = f"2015-05-17T{number % 24:02}:05:03+0000"
        agent = {"http_user_agent": "curl"} if number % 3 else {"agent": "curl"}
        rows.append(
            {"remote_addr": client, "time_local": time, "status": int(status), "body_bytes_sent": 512} | request | agent
        )
    as_json.write_text("".join(json.dumps(row) + "\n" for row in rows) + "[]\n")
    (piece,) = slices_of(as_json, 1 << 30)
    assert summary_of(piece) == of_requests(access_summary(plain))


def test_one_odd_value_is_one_odd_value(tmp_path: Path) -> None:
    """Neither a size of five thousand digits nor an empty file fails anything."""
    log, empty = tmp_path / "json", tmp_path / "empty"
    log.write_text('{"status": 200, "bytes": "%s"}\n{"status": 200, "bytes": 7}\n' % ("9" * 5000))
    empty.touch()
    (piece,) = slices_of(log, 1 << 30)
    assert (summary_of(piece).bytes, summary_of(piece).bad_lines) == (7, 0)
    (nothing,) = slices_of(empty, 1 << 30)
    assert counts_of(nothing, "program") == FieldCounts()
    assert summary_of(nothing) == LogSummary(files=1)
    assert matches_of(nothing, "x").hits == 0
