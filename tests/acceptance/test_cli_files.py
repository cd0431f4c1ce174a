"""`taskgrid files` and `taskgrid verify`, as a user runs them."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_world import World, eventually, world

FUNCTIONS = """
import time
from taskgrid.files import FileSlice, Output

def total(slice: FileSlice) -> int:
    return sum(map(int, slice))

def doubled(slice: FileSlice, out: Output) -> int:
    count = 0
    with out.open("w") as file:
        for line in slice:
            file.write(f"{2 * int(line)}\\n")
            count += 1
    return count

def patient(slice: FileSlice, out: Output, tag: str) -> int:
    place = slice.path.parent.parent
    with out.open("w") as file:
        count = sum(file.write(tag + line.decode()) > 0 for line in slice)
    (place / f"{slice.path.name}-is-at-{tag}").touch()
    while not (place / f"go-{tag}").exists():
        time.sleep(0.01)
    return count
"""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """Give a world with logs, a grid, and functions over files."""
    with world(tmp_path) as here:
        (tmp_path / "mylogs.py").write_text(FUNCTIONS)
        for name, count in (("a.log", 10), ("b.log", 5)):
            write(tmp_path / "logs" / name, count)
        here.master()
        here.worker("--functions=mylogs")
        yield here


def write(path: Path, count: int) -> None:
    """Write numbers, as if long ago."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{number}\n" for number in range(count)))
    os.utime(path, (1_700_000_000, 1_700_000_000))


def test_files_prints_results_and_a_second_run_finds_all_done(here: World) -> None:
    """Lines or one value on stdout, talk on stderr, 0 if all went well; patterns and lists alike."""
    lines = here.run("files", "mylogs:total", "logs/*.log")
    assert lines.returncode == 0, lines.stderr
    assert [json.loads(line)["value"] for line in lines.stdout.splitlines()] == [45, 10]
    listed = here.run("files", "mylogs:total", "-", "--reduce=merge", "--ledger=l", given="logs/a.log\nlogs/b.log\n")
    assert (listed.returncode, listed.stdout) == (0, "55\n"), listed.stderr
    again = here.run("files", "mylogs:total", "logs", "--reduce=merge", "--ledger=l")
    assert (again.returncode, again.stdout) == (0, "55\n")
    assert again.stderr == "nothing to do: all 2 files are done and unchanged\n"


def test_outputs_are_written_and_verified(here: World) -> None:
    """A dry run says what would be done; what was spoilt is named, with exit status 1."""
    shown = here.run("files", "mylogs:doubled", "logs", "--out=out/", "--suffix=.x2", "--dry-run")
    assert [line.split("\t")[0] for line in shown.stdout.splitlines()] == ["new", "new"]
    assert not (here.home / "out").exists()
    done = here.run("files", "mylogs:doubled", "logs", "--out=out/", "--suffix=.x2")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (here.home / "out" / "b.log.x2").read_text() == "0\n2\n4\n6\n8\n"
    assert here.run("verify", "out/manifest.jsonl").returncode == 0
    (here.home / "out" / "a.log.x2").write_text("spoilt")
    spoilt = here.run("verify", "out/manifest.jsonl")
    assert spoilt.returncode == 1
    assert "a.log.x2: it has 6 bytes" in spoilt.stdout


def test_a_file_that_fails_is_named_and_the_exit_status_says_so(here: World) -> None:
    """The others have their results; what makes no sense is refused with 2."""
    (here.home / "logs" / "c.log").write_text("x\n")
    failed = here.run("files", "mylogs:total", "logs", "--reduce=merge")
    assert (failed.returncode, failed.stdout) == (1, "55\n")
    assert "c.log: ValueError: invalid literal" in failed.stderr
    assert here.run("files", "mylogs:total", "nothing-here").returncode == 2
    assert here.run("files", "mylogs:doubled", "logs").returncode == 2


def test_watch_goes_on_with_what_is_new(here: World) -> None:
    """Until Ctrl-C, which ends it with 130; what was there is not read again."""
    how = ("--reduce=merge", "--ledger=l", "--out=results.json", "--watch")
    watching = here.start("files", "mylogs:total", "logs", *how)
    results = here.home / "results.json"
    eventually(lambda: results.exists() and results.read_text() == "55\n")
    write(here.home / "logs" / "c.log", 3)
    eventually(lambda: results.read_text() == "58\n")
    talk = here.talk_of(here.started.index(watching))
    eventually(lambda: "1 of 3 files read" in talk.read_text())
    watching.send_signal(signal.SIGINT)
    assert watching.wait(60) == 130


def patiently(tag: str) -> tuple[str, ...]:
    """Return the command of a run that ends when somebody says so, with a ledger of its own."""
    return ("files", "mylogs:patient", "logs", "--out=out/", f"--ledger={tag}.ledger", "--arg", f"tag={tag}")


def is_at(here: World, tag: str) -> bool:
    """Say whether the tasks of such a run have begun."""
    return len(list(here.home.glob(f"*-is-at-{tag}"))) == 2


def test_two_runs_at_once_never_write_to_one_folder(here: World) -> None:
    """The second is refused by the name of the first, which ends as if it had been alone; then the second may."""
    here.worker("--functions=mylogs")
    first = here.start(*patiently("x"))
    eventually(lambda: is_at(here, "x"))
    refused = here.run(*patiently("y"))
    assert refused.returncode == 6
    assert f"another run writes to {here.home / 'out'}: process {first.pid} on host" in refused.stderr
    (here.home / "go-x").touch()
    assert first.wait(60) == 0
    assert (here.home / "out" / "b.log").read_text() == "x0\nx1\nx2\nx3\nx4\n"
    assert here.run("verify", "out/manifest.jsonl").returncode == 0
    (here.home / "go-y").touch()
    assert here.run(*patiently("y")).returncode == 0
    assert (here.home / "out" / "b.log").read_text() == "y0\ny1\ny2\ny3\ny4\n"
    assert here.run("verify", "out/manifest.jsonl").returncode == 0


def test_a_run_that_was_killed_keeps_its_folder_until_its_ledger_is_taken_up(here: World) -> None:
    """For its tasks go on, and publish."""
    here.worker("--functions=mylogs")
    killed = here.start(*patiently("x"))
    eventually(lambda: is_at(here, "x"))
    killed.kill()
    killed.wait(60)
    refused = here.run(*patiently("y"))
    assert refused.returncode == 6
    assert (
        f"a run that was killed may still write to {here.home / 'out'}: it was process {killed.pid}" in refused.stderr
    )
    assert f"remembers in {here.home / 'x.ledger'}" in refused.stderr
    (here.home / "go-x").touch()
    assert here.run(*patiently("x")).returncode == 0
    assert (here.home / "out" / "b.log").read_text() == "x0\nx1\nx2\nx3\nx4\n"
    (here.home / "go-y").touch()
    assert here.run(*patiently("y")).returncode == 0


def test_a_run_that_was_interrupted_keeps_its_folder_from_nobody(here: World) -> None:
    """It has taken its tasks back: what they have written is never published."""
    here.worker("--functions=mylogs")
    interrupted = here.start(*patiently("x"))
    eventually(lambda: is_at(here, "x"))
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.wait(60) == 130
    (here.home / "go-y").touch()
    done = here.run(*patiently("y"))
    assert done.returncode == 0, done.stderr
    assert (here.home / "out" / "b.log").read_text() == "y0\ny1\ny2\ny3\ny4\n"


def test_a_file_of_all_results_has_one_run_at_a_time(here: World) -> None:
    """Nobody but the run writes it: one that was killed keeps it from nobody."""
    how = ("files", "mylogs:total", "logs", "--out=results.jsonl")
    here.started[-1].terminate()
    eventually(lambda: here.workers() == 0)
    killed = here.start(*how)
    eventually((here.home / "results.jsonl.manifest.jsonl.unfinished").exists)
    refused = here.run(*how)
    assert refused.returncode == 6
    assert f"another run writes to {here.home / 'results.jsonl'}: process {killed.pid}" in refused.stderr
    killed.kill()
    killed.wait(60)
    here.worker("--functions=mylogs")
    assert here.run(*how).returncode == 0


def test_it_says_why_nothing_runs(here: World) -> None:
    """Nobody waits for a function that no worker offers without being told."""
    (here.home / "others.py").write_text(FUNCTIONS)
    waiting = here.start("files", "others:total", "logs")
    talk = here.talk_of(here.started.index(waiting))
    eventually(lambda: talk.read_text().startswith("waiting: "))
    assert "others:total" in talk.read_text()
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(60) == 130
    assert "interrupted" in talk.read_text()


def test_a_worker_that_does_not_see_the_files_gets_none_of_the_run(here: World) -> None:
    """It is said who doesn't and why; once the folder is there, that worker is as good as any."""
    logs = here.home / "logs"
    here.started[-1].terminate()
    eventually(lambda: here.workers() == 0)
    hidden = here.worker("--functions=mylogs", preexec_fn=hiding(logs))
    run = here.start("files", "mylogs:total", "logs", "--reduce=merge")
    talk = here.talk_of(here.started.index(run))
    eventually(lambda: "no worker sees what job" in talk.read_text())
    why = json.loads(here.run("explain", "last", "-o", "json").stdout)
    assert f"does not see {logs}: it is empty here" in why["why"]
    subprocess.run(["nsenter", "-t", str(hidden.pid), "-m", "umount", str(logs)], check=True)
    assert run.wait(60) == 0
    assert run.stdout is not None
    assert run.stdout.read() == "55\n"


def hiding(folder: Path) -> Callable[[], None]:
    """Return what hides a folder from the process that calls it, under an empty one; skip where that can't be."""
    libc = ctypes.CDLL(None, use_errno=True)

    def hide() -> None:
        if libc.unshare(0x00020000):  # CLONE_NEWNS
            raise OSError(ctypes.get_errno(), "unshare")
        private, slash = 0x4000 | 0x40000, b"/"  # MS_REC | MS_PRIVATE
        if libc.mount(b"none", slash, None, private, None) or libc.mount(b"none", bytes(folder), b"tmpfs", 0, None):
            raise OSError(ctypes.get_errno(), "mount")

    if (pid := os.fork()) == 0:
        try:
            hide()
        except BaseException:  # noqa: BLE001  # whatever it is, it can't be done here
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1] or shutil.which("nsenter") is None:
        pytest.skip("needs mount namespaces, and nsenter from util-linux")
    return hide


def test_workers_list_the_files_for_a_client_that_does_not_see_them(here: World) -> None:
    """What it can't see it can sum up, once and again as files grow; it can't publish outputs there."""
    logs = here.home / "logs"
    blind = {"preexec_fn": hiding(logs)}
    here.worker("--functions=taskgrid.files")
    how = ("files", "mylogs:total", f"{logs}/*.log", "--reduce=merge", "--ledger=l", "--list-on=worker")
    assert asked(here, *how, "--dry-run", **blind)[1].splitlines()[0].startswith(f"new\t20\t{logs}/a.log")
    assert asked(here, *how, **blind)[1:] == ("55\n", "2 of 2 files read, 30 B, 15 records")
    with (logs / "a.log").open("a") as log:
        log.write("100\n")
    write(logs / "c.log", 3)
    assert asked(here, *how, **blind)[1:] == ("158\n", "2 of 3 files read, 10 B, 4 records, 1 unchanged")
    assert asked(here, *how[:-1], **blind)[0] == 2
    nothing = asked(here, "files", "mylogs:total", f"{logs}/*.txt", "--list-on=worker", **blind)
    assert nothing == (2, "", f"{logs}/*.txt leads to no file")
    refused = asked(here, *how, "--out=out/", **blind)
    assert (refused[0], refused[2]) == (2, "an output per input needs a client that sees the folder")


def asked(here: World, *words: str, **options: Any) -> tuple[int, str, str]:
    """Run a command to its end; return its status, what it printed and the first of what it said, without the time."""
    process = here.start(*words, **options)
    printed = process.communicate(timeout=60)[0]
    said = here.talk_of(here.started.index(process)).read_text().splitlines()
    return process.returncode, printed, said[0].partition(" in ")[0].removeprefix("error: ") if said else ""
