"""Work through the command line: map, submit, results, and what they exit with."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import WITHIN, Terminal, World, eventually, world

pytestmark = pytest.mark.timeout(400)  # each command is a process of its own, also on a busy machine


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give a master and a worker that every test of this file shares."""
    with world(tmp_path_factory.mktemp("grid")) as made:
        made.master()
        made.worker()
        yield made


def _lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_map_prints_one_line_per_item_in_order(grid: World) -> None:
    """Results come as JSON Lines, in the order of the items."""
    done = grid.run("map", "mytasks:shout", "a", "b", "ä")
    assert done.returncode == 0, done.stderr
    lines = _lines(done.stdout)
    assert [(line["item"], line["value"]) for line in lines] == [("a", "A"), ("b", "B"), ("ä", "Ä")]
    numbers = {str(line["task"]).split(".")[0] for line in lines}
    assert len(numbers) == 1


def test_items_come_from_stdin_and_are_converted_by_the_worker(grid: World) -> None:
    """A line is an item; the annotation makes an int of it."""
    done = grid.run("map", "mytasks:half", "-", "--values", given="1\n2\n4\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0.5\n1.0\n2.0\n"


def test_a_failed_item_has_a_line_and_makes_status_1(grid: World) -> None:
    """One bad item harms one line."""
    done = grid.run("map", "mytasks:half", "2", "3", "x")
    assert done.returncode == 1
    good, bad, worse = _lines(done.stdout)
    assert good["value"] == 1.0
    assert bad["error"] == {"cause": "error", "type": "builtins.ValueError", "message": "three is odd"}
    assert "bad-arguments" in str(worse["error"])
    assert "--failed" in done.stderr


def test_jsonl_lines_are_arguments(grid: World) -> None:
    """By position and by name, as the line says."""
    done = grid.run("map", "mytasks:add", "--jsonl", given='[1, 2]\n{"a": 3, "b": 4}\n')
    assert done.returncode == 0, done.stderr
    assert [(line["item"], line["value"]) for line in _lines(done.stdout)] == [([1, 2], 3), ({"a": 3, "b": 4}, 7)]


def test_many_items_take_many_chunks(grid: World) -> None:
    """Nothing is lost or turned around over ten thousand items."""
    done = grid.run("map", "mytasks:add", "-", "--values", given="".join(f"{n}\n" for n in range(10_000)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(n) for n in range(10_000)]


def test_values_are_merged_into_one_line(grid: World) -> None:
    """By a function of theirs, or as they say themselves; where a task failed that is told instead."""
    items = "".join(f"{n}\n" for n in range(4, 20_004))
    by_name = grid.run("map", "mytasks:half", "-", "--reduce", "mytasks:largest", given=items)
    assert (by_name.returncode, by_name.stdout, by_name.stderr) == (0, "10001.5\n", "")
    by_kind = grid.run("map", "mytasks:half", "-", "--reduce", "merge", given=items)
    assert (by_kind.returncode, by_kind.stdout) == (0, f"{sum(range(4, 20_004)) / 2}\n")
    many = grid.run("map", "mytasks:even", "-", "--reduce", "merge", given=items)
    assert (many.returncode, many.stdout) == (0, "10000\n"), "of values that are true: which is no bool"
    failed = grid.run("map", "mytasks:half", "2", "3", "--reduce", "merge")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert re.search(r"there is no result: task \d+\.1 has none \(ValueError: three is odd\)", failed.stderr)
    worse = grid.run("map", "mytasks:half", "2", "4", "--reduce", "mytasks:breaks")
    assert (worse.returncode, worse.stdout) == (2, "")
    assert re.match(r"error: the values of job \d+ can't be merged: ZeroDivisionError", worse.stderr)
    nowhere = grid.run("map", "mytasks:half", "2", "--reduce", "mytasks:most")
    assert nowhere.returncode == 2
    assert "mytasks has no function 'most'" in nowhere.stderr


def test_a_map_that_merges_sends_all_before_it_tells_what_failed(grid: World) -> None:
    """A slow producer's last item is in the job, too: what failed can be brought back, and the result is whole."""
    map_ = grid.start("map", "mytasks:one_if_there", "-", "--reduce", "merge", stdin=subprocess.PIPE)
    assert map_.stdin is not None
    flag = grid.home / "flag"
    map_.stdin.write(f"{flag}\n")
    map_.stdin.flush()
    eventually(lambda: '"failed": 1' in grid.run("jobs", "last", "-o", "json").stdout)
    map_.stdin.write(f"{grid.home}\n")
    map_.stdin.close()
    assert map_.wait(WITHIN) == 1
    (job,) = json.loads(grid.run("jobs", "last", "-o", "json").stdout)
    assert (job["total"], job["sealed"]) == (2, True)
    flag.touch()
    assert grid.run("retry", "last").returncode == 0
    done = grid.run("results", "last", "--wait")
    assert (done.returncode, done.stdout) == (0, "2\n")


def test_a_merged_job_is_read_as_the_one_line_it_is(grid: World) -> None:
    """Later too; a task of it has no line of its own."""
    items = "".join(f"{n}\n" for n in range(4, 5004))
    number = grid.run("submit", "mytasks:half", "-", "--reduce", "merge", given=items).stdout.strip()
    merged = f"{sum(range(4, 5004)) / 2}\n"
    assert grid.run("results", number, "--wait").stdout == merged
    assert grid.run("results", number).stdout == merged
    part = grid.run("results", f"{number}.7")
    assert part.returncode == 2
    assert "no results of their own" in part.stderr


def test_a_slow_producers_items_are_done_as_they_come(grid: World) -> None:
    """`tail -f log | taskgrid map f -` shows each line's result long before the log ends."""
    map_ = grid.start("map", "mytasks:shout", "-", "--values", stdin=subprocess.PIPE)
    assert map_.stdin is not None
    assert map_.stdout is not None
    for line in ("a", "b", "c"):
        map_.stdin.write(f"{line}\n")
        map_.stdin.flush()
        assert map_.stdout.readline() == f'"{line.upper()}"\n'
    map_.stdin.write("d\ne")
    map_.stdin.close()
    assert map_.stdout.read() == '"D"\n"E"\n'
    assert map_.wait(WITHIN) == 0


def test_no_items_are_a_job_that_is_done(grid: World) -> None:
    """An empty list of files is no error."""
    done = grid.run("map", "mytasks:shout", "-")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_results_go_to_a_file_on_request(grid: World) -> None:
    """`--out` leaves stdout empty, and the file is whole."""
    place = grid.home / "out.jsonl"
    done = grid.run("map", "mytasks:shout", "a", "b", "--out", str(place))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [line["value"] for line in _lines(place.read_text())] == ["A", "B"]


def test_a_bad_line_takes_the_whole_map_back(grid: World) -> None:
    """What was sent before the bad line is cancelled, and the line is named."""
    given = "".join(f"[{n}]\n" for n in range(5000)) + "oops\n"
    done = grid.run("map", "mytasks:add", "--jsonl", given=given)
    assert done.returncode == 2
    assert "line 5001" in done.stderr
    (job,) = json.loads(grid.run("jobs", "last", "-o", "json").stdout)
    assert job["complete"]


def test_submit_prints_the_number_and_results_prints_the_rest(grid: World) -> None:
    """A job submitted now is read later, by anyone who knows its number."""
    done = grid.run("submit", "mytasks:half", "2", "3", "4", "--name", "halves")
    assert done.returncode == 0, done.stderr
    number = done.stdout.strip()
    read = grid.run("results", number, "--wait")
    assert read.returncode == 1
    assert [line.get("value") for line in _lines(read.stdout)] == [1.0, None, 2.0]
    assert grid.run("results", f"{number}.0", "--values").stdout == "1.0\n"
    assert grid.run("results", "last", "--values").stdout == "1.0\nnull\n2.0\n"
    failed = grid.run("results", number, "--failed")
    assert "ValueError: three is odd" in failed.stdout
    assert "mytasks.py" in failed.stdout
    (told,) = json.loads(grid.run("results", number, "--failed", "-o", "json").stdout)
    assert told["error"]["traceback"]
    assert told["item"] == "3"
    assert '"halves"' in grid.run("jobs", number, "-o", "json").stdout


def test_the_same_key_is_the_same_job(grid: World) -> None:
    """A cron job that fires twice does its work once."""
    words = ("submit", "mytasks:shout", "a", "b", "--key", "night-1", "-o", "json")
    first, second = json.loads(grid.run(*words).stdout), json.loads(grid.run(*words).stdout)
    assert first == second
    assert first["tasks"] == 2


def test_a_job_under_way_shows_what_it_has(grid: World) -> None:
    """`results` of a running job ends with what there is, and says that there will be more."""
    gate = grid.home / "gate"
    number = grid.run("submit", "mytasks:wait_for", str(grid.home / "mytasks.py"), str(gate)).stdout.strip()
    eventually(lambda: grid.run("results", number, "--values").stdout)
    read = grid.run("results", number)
    assert len(_lines(read.stdout)) == 1
    assert "1 of 2" in read.stderr
    gate.touch()
    assert grid.run("results", number, "--wait").returncode == 0


def test_looking_as_json_has_the_models_names(grid: World) -> None:
    """Field names are those of the views, so that scripts last."""
    assert json.loads(grid.run("status", "-o", "json").stdout)["workers"] == 1
    (worker,) = json.loads(grid.run("workers", "-o", "json").stdout)
    assert worker["functions"]
    assert "mytasks:add" in grid.run("workers").stdout
    assert json.loads(grid.run("health", "-o", "json").stdout)["ok"]
    assert grid.run("health").stdout == "ok\n"
    for job in json.loads(grid.run("jobs", "-o", "json").stdout):
        assert {"number", "counts", "total", "owner"} <= set(job)


def test_explain_says_what_is_missing(grid: World) -> None:
    """A function that nobody offers is named as such, by `explain` and by a `map` that waits for it."""
    number = grid.run("submit", "mytasks:nothing", "a").stdout.strip()
    told = grid.run("explain", number)
    assert told.returncode == 0
    assert "mytasks:nothing" in told.stdout
    assert json.loads(grid.run("explain", f"{number}.0", "-o", "json").stdout)["reason"] == "not-offered"
    grid.run("cancel", number)


def test_cancel_retry_forget_touch_one_job_at_once(grid: World) -> None:
    """One job needs no question; each says what it touched."""
    number = grid.run("submit", "mytasks:nothing", "a", "b", "c").stdout.strip()
    assert grid.run("cancel", f"{number}.0-1", "--dry-run").stdout.startswith("would cancel 2 tasks")
    assert grid.run("cancel", f"{number}.0-1").stdout.startswith("cancelled 2 tasks")
    assert grid.run("cancel", number).stdout.startswith("cancelled 1 task ")
    assert grid.run("results", number).returncode == 1
    assert grid.run("retry", f"{number}.1").stdout.startswith("brought back 1 task")
    grid.run("cancel", number)
    assert grid.run("forget", number).returncode == 0
    assert grid.run("jobs", number).returncode == 2


def test_many_jobs_are_not_touched_without_consent(grid: World) -> None:
    """Without a terminal nobody can agree, so `--yes` is wanted."""
    numbers = [grid.run("submit", "mytasks:nothing", "a").stdout.strip() for _ in range(2)]
    refused = grid.run("cancel", *numbers)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    touched = json.loads(grid.run("cancel", f"{numbers[0]}-{numbers[1]}", "--yes", "-o", "json").stdout)
    assert [one["tasks"] for one in touched] == [1, 1]


def test_on_a_terminal_a_bulk_command_asks(grid: World) -> None:
    """The question says what will be touched; only yes is yes."""
    numbers = ",".join(grid.run("submit", "mytasks:nothing", "a").stdout.strip() for _ in range(2))
    refusing = Terminal(grid, "cancel", numbers)
    refusing.see("Cancel 2 tasks of 2 jobs? [y/N]")
    refusing.type("n\n")
    assert refusing.end() == 2
    agreeing = Terminal(grid, "cancel", numbers)
    agreeing.see("[y/N]")
    agreeing.type("y\n")
    assert agreeing.end() == 0
    assert "cancelled 1 task" in agreeing.shown


def test_ctrl_c_cancels_a_map_and_says_so(grid: World) -> None:
    """An interrupted map takes its job back."""
    map_ = Terminal(grid, "map", "mytasks:wait_for", str(grid.home / "never-1"), str(grid.home / "never-2"))
    map_.see(": 0/2")
    map_.type("\x03")
    assert map_.end() == 130
    assert "cancelled job" in map_.shown
    (job,) = json.loads(grid.run("jobs", "last", "-o", "json").stdout)
    assert job["counts"] == {"cancelled": 2}


def test_a_killed_map_leaves_its_job_running(grid: World) -> None:
    """What was accepted is the master's; only an interrupt takes it back."""
    gate = grid.home / "gate-of-the-killed"
    map_ = grid.start("map", "mytasks:wait_for", str(gate), "--name", "left")
    eventually(lambda: '"left"' in grid.run("jobs", "last", "-o", "json").stdout)
    map_.kill()
    map_.wait()
    gate.touch()
    done = grid.run("results", "last", "--wait")
    assert done.returncode == 0
    assert str(gate) in done.stdout


def test_a_map_that_waits_says_why(grid: World) -> None:
    """After two seconds without a running task the reason is told, once, where there is no terminal."""
    number = len(grid.started)
    map_ = grid.start("map", "mytasks:nothing", "a")
    eventually(lambda: "mytasks:nothing" in grid.talk_of(number).read_text())
    grid.run("cancel", "last")
    assert map_.wait(WITHIN) == 1
    assert grid.talk_of(number).read_text().count("waiting:") == 1


def test_a_stranger_is_not_let_in(grid: World, tmp_path: Path) -> None:
    """With another key the status is 4, and nothing is told of the grid."""
    stranger = World(tmp_path)
    stranger.run("key", "make")
    (known,) = json.loads((grid.home / "config/taskgrid/masters.json").read_text())["masters"]
    done = stranger.run("status", "--server", known["server"])
    assert done.returncode == 4, done.stderr
    assert done.stdout == ""


def test_join_tries_the_key_and_keeps_it(grid: World, tmp_path: Path) -> None:
    """On stdin as in a script, or typed without echo; afterwards nothing has to be named."""
    (known,) = json.loads((grid.home / "config/taskgrid/masters.json").read_text())["masters"]
    key = Path(known["key_file"]).read_text().strip()
    joiner = World(tmp_path)
    assert joiner.run("join", known["server"], given="no key\n").returncode == 2
    typed = Terminal(joiner, "join", known["server"])
    typed.see("Key of")
    typed.type(key + "\n")
    assert typed.end() == 0
    assert key not in typed.shown
    assert joiner.run("map", "mytasks:shout", "a", "--values").stdout == '"A"\n'
    piped = World(tmp_path / "piped") if (tmp_path / "piped").mkdir() is None else joiner
    assert piped.run("join", known["server"], given=key + "\n").returncode == 0
    assert piped.run("health").returncode == 0
