"""`taskgrid logs`, as an operator runs it: the numbers of the log on stdout, talk on stderr."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import World, eventually, world

LINE = '203.0.113.{} - - [17/May/2015:{:02}:05:03 +0000] "GET /{} HTTP/1.1" {} 512 "-" "curl"'
LINES = [LINE.format(number % 7, number % 24, number, (200, 404)[number % 10 == 0]) for number in range(200)]
SYSLOG = "Dec 10 06:55:46 host sshd[24200]: hello\n"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give a world with logs and a grid whose worker was told nothing."""
    home = tmp_path_factory.mktemp("logs")
    with world(home) as here:
        (home / "web").mkdir()
        (home / "web" / "b.log").write_text("".join(f"{line}\n" for line in [*LINES[100:], "junk"]))
        (home / "web" / "a.log.gz").write_bytes(gzip.compress("".join(f"{line}\n" for line in LINES[:100]).encode()))
        for log in (home / "web").iterdir():
            os.utime(log, (1_700_000_000, 1_700_000_000))  # what was written just now is not remembered as done
        (home / "auth.log").write_text(SYSLOG * 3)
        here.master()
        here.start("worker", "--slots=2")
        yield here


def test_summary_shows_what_an_operator_wants_to_know(here: World) -> None:
    """As text, as JSON and as a page; the second run over a ledger reads nothing."""
    shown = here.run("logs", "summary", "web", "--top=3", "--ledger=web.ledger")
    assert shown.returncode == 0, shown.stderr
    assert "201 lines in 2 files, 1 bad; 102 kB sent to clients" in shown.stdout
    assert "404 Not Found                                                           20\n" in shown.stdout
    as_json = here.run("logs", "summary", "web", "-o", "json", "--ledger=web.ledger")
    assert json.loads(as_json.stdout)["statuses"] == {"200": 180, "404": 20}
    assert "nothing to do" in as_json.stderr
    page = here.run("logs", "summary", "web", "-o", "html", "--ledger=web.ledger").stdout
    assert page.startswith("<!doctype html>")
    assert "404 Not Found" in page


def test_count_ranks_the_values_of_a_field(here: World) -> None:
    """Of any format; a field that there is not is an error that names those there are."""
    counted = here.run("logs", "count", "--by", "status", "web")
    assert [line.split() for line in counted.stdout.splitlines()[1:]] == [["180", "90.0", "200"], ["20", "10.0", "404"]]
    assert "201 lines, 1 bad" in counted.stderr
    by_program = here.run("logs", "count", "--by=program", "auth.log", "-o", "json")
    assert json.loads(by_program.stdout)["values"]["counts"] == {"sshd": 3}
    refused = here.run("logs", "count", "--by=wombat", "auth.log")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "syslog lines have no field wombat" in refused.stderr


def test_grep_prints_matching_lines_in_order(here: World) -> None:
    """Files by name, lines as they stand; counted, limited, as JSON, or without their file."""
    right = [f"web/{'a.log.gz' if number < 100 else 'b.log'}:{LINES[number]}" for number in range(0, 200, 10)]
    found = here.run("logs", "grep", " 404 ", "web")
    assert (found.returncode, found.stdout.splitlines()) == (0, right), found.stderr
    assert here.run("logs", "grep", "-c", " 404 ", "web").stdout == "web/a.log.gz:10\nweb/b.log:10\n"
    (here.home / "cut.gz").write_bytes((here.home / "web" / "a.log.gz").read_bytes()[:200])
    half = here.run("logs", "grep", "-c", " 404 ", "cut.gz", "web/b.log")
    assert (half.returncode, half.stdout) == (1, "web/b.log:10\n")
    first = here.run("logs", "grep", "-i", "get /1?0 ", "web", "-m", "1", "-o", "json")
    assert json.loads(first.stdout) == {"input": str(here.home / "web" / "a.log.gz"), "line": LINES[0]}
    assert here.run("logs", "grep", "junk", "web", "--no-filename").stdout == "junk\n"
    refused = here.run("logs", "grep", "(", "web")
    assert refused.returncode == 2
    assert "not a regular expression" in refused.stderr


def test_grep_goes_on_where_a_result_was_full(here: World, tmp_path: Path) -> None:
    """More matches than a result has room for come all the same, each once."""
    rng = random.Random(3)
    noise = tmp_path / "noise.log"
    noise.write_text("".join(f"{rng.getrandbits(4000):x}\n" for _ in range(2000)))
    found = here.run("logs", "grep", "^", str(noise), "--no-filename")
    assert found.stdout == noise.read_text()


def test_summary_of_a_log_without_requests_is_of_what_it_says(here: World) -> None:
    """As text, as JSON and as a page, cut into slices or not, and beside logs with requests."""
    shown = here.run("logs", "summary", "auth.log", "--split=50")
    assert shown.returncode == 0, shown.stderr
    assert "3 lines in 1 file, 0 bad; 120 B,\nfrom 12-10 06:55:46 to 12-10 06:55:46\n" in shown.stdout
    assert "\nMessages\n  sshd: hello   " in shown.stdout
    own = here.run("logs", "summary", "auth.log", "-o", "json", "--format", r"(?P<time>\w+ \d+ \S+) (?P<message>.*)")
    assert json.loads(own.stdout)["messages"]["counts"] == {"host sshd[<num>]: hello": 3}
    page = here.run("logs", "summary", "auth.log", "web", "-o", "html").stdout
    assert "204 lines in 3 files, 1 bad; 102 kB sent to clients; 120 B of messages" in page
    assert "sshd: hello" in page
    assert "404 Not Found" in page


def test_a_file_that_is_no_log_is_named(here: World) -> None:
    """With why; the others are summed up, and the exit status is 1."""
    (here.home / "poem.txt").write_text("Full many a gem of purest ray serene\n" * 3)
    shown = here.run("logs", "summary", "web", "poem.txt", "-o", "json")
    assert shown.returncode == 1
    assert json.loads(shown.stdout)["lines"] == 201
    assert "poem.txt: UsageError: this log is of no known format: name one with --format" in shown.stderr


@pytest.mark.parametrize("words", [("summary",), ("count", "--by=status")])
@pytest.mark.parametrize(("format_", "says"), [("ngnix", "no format is called ngnix"), ("(?P<a", "not a regular")])
def test_a_format_that_there_is_not_is_told_before_anything_is_read(
    here: World, words: tuple[str, ...], format_: str, says: str
) -> None:
    """Once, with those there are, and not once per file."""
    shown = here.run("logs", *words, "web", "--format", format_)
    assert shown.returncode == 2
    assert shown.stderr.startswith(f"error: {says}")
    assert "failed:" not in shown.stderr


def test_a_worker_keeps_to_its_root(tmp_path: Path) -> None:
    """What lies elsewhere it neither reads nor is asked for; `explain` says why nothing runs."""
    with world(tmp_path) as here:
        for folder in ("open", "closed"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a.log").write_text(f"{LINES[0]}\n")
        here.master()
        here.start("worker", "--slots=1", "--root=open")
        assert here.run("logs", "grep", "-c", "GET", "open").stdout == "open/a.log:1\n"
        failed = here.run("map", "taskgrid.logs:access_summary", f"{tmp_path}/closed/a.log")
        assert failed.returncode == 1
        assert "PermissionError" in failed.stdout
        waiting = here.start("logs", "grep", "GET", "closed")
        talk = here.talk_of(here.started.index(waiting))
        eventually(lambda: "no worker sees what job" in talk.read_text())
        why = json.loads(here.run("explain", "last", "-o", "json").stdout)["why"]
        assert "outside the folders of this worker's --root" in why
