"""Counting, searching and summarising logs on two slots, beside a process, a pool, the shell and the table engines.

All read the same generated logs from the page cache: files of about 32 MiB in combined format, one line
in 20,000 damaged and one in 1,000 with an escaped quote. What each found is compared with what was
written; a contestant that found something else says so.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from figures import NOT_INSTALLED, Figure, Target, at_least
from programs import private_grid
from stopwatch import NOT_INSTALLED_STATUS

from taskgrid import Grid
from taskgrid.cli.sample import write_sample
from taskgrid.logs import AccessSummary, access_summary, count_field, grep_lines

_CONTESTANTS = Path(__file__).resolve().parent / "contestants"
_SLOTS = 2
_PATTERN = "robots.txt"
"""Searched for; in no referrer, so that the truth knows how many lines have it."""
_SEED = 11
_LONGEST = 600.0
_AWK = {
    "count": r"""awk -F'"' '{split($3,s," ");c[s[1]]++}END{for(k in c)print c[k],k}' {}""",
    "grep": "grep -cF robots.txt {}",
}


class Logs(NamedTuple):
    """What is read, and what is in it."""

    files: list[Path]
    size: int
    truth: AccessSummary
    matching: int


class Told(NamedTuple):
    """What a peer found, and the seconds that it took by its own clock: its start is not counted."""

    found: object
    seconds: float


class Contestant(NamedTuple):
    """A way to do it: returns what it found in the end, in words that can be compared."""

    name: str
    run: Callable[[], object]
    right: object
    target: Target | None = None


class _NotInstalled(Exception):
    """A peer is not here."""


class _Failed(Exception):
    """A peer gave up."""


def measure(*, full: bool, rounds: int, peers_python: str) -> Iterator[Figure]:
    """Yield MB/s of each operation and contestant, and the ratio to one process."""
    folder = Path(tempfile.mkdtemp(prefix="taskgrid-logs-"))
    try:
        logs = _written(folder, (1 << 30) if full else (96 << 20), 32 if full else 6)
        with private_grid() as programs:
            programs.start_master()
            programs.start_worker(_SLOTS, "taskgrid.logs")
            with programs.grid() as grid, multiprocessing.get_context("spawn").Pool(_SLOTS) as pool:
                list(grid.map(access_summary, logs.files[:_SLOTS]))  # the slots are warm, as the pool is
                pool.map(access_summary, logs.files[:_SLOTS])
                for name in ("count", "grep", "summary"):
                    yield from _compared(name, _contestants(name, logs, grid, pool, peers_python), logs, rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _written(folder: Path, size: int, files: int) -> Logs:
    truth = write_sample(folder, files, size, _SEED)
    paths = sorted(folder.iterdir())
    matching = 0
    for path in paths:  # which also brings them into the page cache
        matching += sum(_PATTERN.encode() in line for line in path.read_bytes().split(b"\n"))
    return Logs(paths, sum(path.stat().st_size for path in paths), truth, matching)


def _contestants(name: str, logs: Logs, grid: Grid, pool: Any, peers_python: str) -> Iterator[Contestant]:
    function, words = {
        "count": (count_field, ("status",)),
        "grep": (grep_lines, (_PATTERN,)),
        "summary": (access_summary, ()),
    }[name]
    arguments = [(str(path), *words) for path in logs.files]
    calls = [(path, *words) for path in logs.files]
    right = _truth(name, logs)

    def found(parts: Iterator[Any]) -> object:
        return _plain(name, list(parts))

    target = at_least(1800) if name == "count" else None
    columns = list(zip(*arguments, strict=True))
    yield Contestant("TaskGrid, 2 slots", lambda: found(grid.map(function, *columns)), right, target)
    yield Contestant("the same function, one process", lambda: found(function(*call) for call in calls), right)
    yield Contestant("multiprocessing.Pool(2)", lambda: found(pool.starmap(function, calls, chunksize=1)), right)
    if name in _AWK:
        tool = _AWK[name].split()[0]
        yield Contestant(f"GNU parallel with {tool}", lambda: _shell(name, logs), right)
    for library in ("polars", "duckdb"):
        yield Contestant(library, partial(_peer, peers_python, library, name, logs), right)
        if name == "count":  # the table is the faster way, the expression the one that reads every line
            by_match = partial(_peer, peers_python, library, "match", logs)
            yield Contestant(f"{library}, by regular expression", by_match, right)


def _truth(name: str, logs: Logs) -> object:
    if name == "grep":
        return logs.matching
    statuses = {str(status): hits for status, hits in logs.truth.statuses.items()}
    if name == "count":
        return statuses
    return logs.truth.lines - logs.truth.bad_lines, logs.truth.bytes, statuses, logs.truth.paths.top(3)


def _plain(name: str, parts: list[Any]) -> object:
    merged = type(parts[0]).merge(parts)
    if name == "grep":
        return merged.hits
    if name == "count":
        return merged.values.counts
    statuses = {str(status): hits for status, hits in merged.statuses.items()}
    return merged.lines - merged.bad_lines, merged.bytes, statuses, merged.paths.top(3)


def _compared(name: str, contestants: Iterator[Contestant], logs: Logs, rounds: int) -> Iterator[Figure]:
    runs: dict[str, list[float]] = defaultdict(list)
    remarks: dict[str, str] = {}
    every = list(contestants)
    for _ in range(rounds):
        for each in every:
            if remarks.get(each.name) != NOT_INSTALLED:
                _run(each, logs.size, runs[each.name], remarks)
    alone = sorted(runs["the same function, one process"])[rounds // 2]
    for each in every:
        rates = tuple(runs[each.name])
        ratio = f"{sorted(rates)[len(rates) // 2] / alone:.2f} x one process" if rates else ""
        remark = "; ".join(word for word in (ratio, remarks.get(each.name)) if word)
        yield Figure("logs", f"{name}, {logs.size / 1e6:,.0f} MB: {each.name}", "MB/s", rates, each.target, remark)


def _run(contestant: Contestant, size: int, rates: list[float], remarks: dict[str, str]) -> None:
    begun = time.perf_counter()
    try:
        found = contestant.run()
    except _NotInstalled:
        remarks[contestant.name] = NOT_INSTALLED
        return
    except _Failed as failed:
        remarks[contestant.name] = f"failed: {failed}"
        return
    told = found if isinstance(found, Told) else Told(found, time.perf_counter() - begun)
    rates.append(size / 1e6 / told.seconds)
    if told.found != contestant.right:
        remarks[contestant.name] = "found something else than was written"


def _shell(name: str, logs: Logs) -> object:
    parallel = shutil.which("parallel")
    if parallel is None:
        raise _NotInstalled
    words = [parallel, "--will-cite", f"-j{_SLOTS}", _AWK[name], ":::", *map(str, logs.files)]
    said = subprocess.run(words, capture_output=True, text=True, timeout=_LONGEST, check=True).stdout.splitlines()
    if name == "grep":
        return sum(map(int, said))
    counts: Counter[str] = Counter()
    for line in said:
        hits, _, status = line.partition(" ")
        counts[status] += int(hits)
    return dict(counts)


def _peer(python: str, library: str, name: str, logs: Logs) -> Told:
    words = [python, str(_CONTESTANTS / "log_tables.py"), library, name, _PATTERN, *map(str, logs.files)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_LONGEST, check=False)
    if done.returncode == NOT_INSTALLED_STATUS:
        raise _NotInstalled
    if done.returncode:
        raise _Failed(done.stderr.strip().splitlines()[-1][:80])
    told = json.loads(done.stdout.splitlines()[-1])
    found = told["found"]
    if name == "summary":
        found = (*found[:3], [tuple(row) for row in found[3]])
    return Told(found, told["seconds"])
