"""Rates and round trips of no-op tasks, TaskGrid beside its peers.

Each contestant is a program of its own under `contestants/`, started anew for each round, and the
rounds go through all of them: what slows the machine for a while slows each of them once.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from figures import NOT_INSTALLED, Figure, Target, at_least, at_most
from processes import end_all
from stopwatch import NOT_INSTALLED_STATUS

_CONTESTANTS = Path(__file__).resolve().parent / "contestants"
_LONGEST = 180.0
_PROTOTYPE = re.compile(r"([\d,]+) tasks/s; round trip p50 ([\d.]+) ms, p99 ([\d.]+) ms")
_NAMES = {
    "rate": ("no-op map", "tasks/s"),
    "submits": ("one submit() at a time, pipelined", "tasks/s"),
    "p50": ("submit -> result, p50", "ms"),
    "p99": ("submit -> result, p99", "ms"),
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program that measures itself, and what its figures should be."""

    name: str
    words: tuple[str, ...]
    survives: str = ""
    targets: dict[str, Target] = field(default_factory=dict)


def measure(*, full: bool, rounds: int, peers_python: str, prototype: str | None) -> Iterator[Figure]:
    """Run all contestants in turn, some rounds of it; yield their figures."""
    contestants = [*_taskgrid(full=full), *_peers(peers_python, full=full)]
    if prototype:
        contestants.append(_prototype(prototype))
    told: dict[str, list[dict[str, float]]] = defaultdict(list)
    missing: dict[str, str] = {}
    for _ in range(rounds):
        for contestant in contestants:
            if contestant.name in missing:
                continue
            try:
                told[contestant.name].append(_run(contestant))
            except _Failed as failed:
                missing[contestant.name] = str(failed)
    for key in _NAMES:
        figures = (_figure(each, key, told[each.name], missing.get(each.name)) for each in contestants)
        yield from (figure for figure in figures if figure.runs or (figure.remark and key == "rate"))


def _taskgrid(*, full: bool) -> list[Contestant]:
    script, sizes = (
        str(_CONTESTANTS / "taskgrid_local.py"),
        (["2000000", "400000", "2000"] if full else ["500000", "80000", "500"]),
    )
    targets = {
        "process": {"rate": 300_000, "submits": 40_000, "p50": 0.7, "p99": 3},
        "power": {"rate": 200_000, "p50": 1.2, "p99": 5},
    }
    survives = {"process": "survives kill -9 of any process", "power": "survives power loss"}
    return [
        Contestant(
            f"TaskGrid, {mode}",
            (sys.executable, script, mode, *sizes),
            survives[mode],
            {key: (at_most if key.startswith("p") else at_least)(bound) for key, bound in targets[mode].items()},
        )
        for mode in targets
    ]


def _peers(python: str, *, full: bool) -> list[Contestant]:
    few = ["20000", "500"] if full else ["5000", "200"]

    def peer(name: str, survives: str, script: str, *words: str) -> Contestant:
        return Contestant(name, (python, str(_CONTESTANTS / script), *words), survives)

    return [
        peer("multiprocessing.Pool.map", "one machine; survives nothing", "pool_map.py", "0", "1000000", "500"),
        peer(
            "multiprocessing.Pool.map, chunksize=1", "one machine; survives nothing", "pool_map.py", "1", "30000", "500"
        ),
        peer("bare BaseManager, two queues", "survives nothing", "bare_manager.py", "4000", "300"),
        peer("Celery with Redis", "keeps what waits in Redis", "celery_redis.py", *few),
        peer("Dask distributed", "survives its workers", "dask_cluster.py", *few),
        peer("Ray", "survives its workers", "ray_cluster.py", *few),
    ]


def _prototype(path: str) -> Contestant:
    words = (sys.executable, path, "1000000", "1000", "NORMAL", "task")
    return Contestant("prototype (no fence, no faults)", words, "an upper bound")


class _Failed(Exception):
    """A contestant has no figures, and why."""


def _run(contestant: Contestant) -> dict[str, float]:
    try:
        done = subprocess.run(contestant.words, capture_output=True, text=True, timeout=_LONGEST, check=False)
    except subprocess.TimeoutExpired:
        raise _Failed(f"not done in {_LONGEST:g} s") from None
    finally:
        end_all()
    if done.returncode == NOT_INSTALLED_STATUS:
        raise _Failed(NOT_INSTALLED)
    if found := _PROTOTYPE.search(done.stdout):
        rate, p50, p99 = found.groups()
        return {"rate": float(rate.replace(",", "")), "p50": float(p50), "p99": float(p99)}
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise _Failed(f"failed with status {done.returncode}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _figure(contestant: Contestant, key: str, told: list[dict[str, float]], missing: str | None) -> Figure:
    what, unit = _NAMES[key]
    runs = tuple(each[key] for each in told if key in each)
    remark = contestant.survives if runs else missing or ""
    return Figure("speed", f"{what}: {contestant.name}", unit, runs, contestant.targets.get(key), remark)
