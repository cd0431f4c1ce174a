"""All figures in one run: TaskGrid against its targets, and beside its peers.

    make bench                                       a few minutes, at sizes that fit
    make bench ARGS="--full"                         the targets' own sizes
    make bench ARGS="--only speed --only idle"       some groups

Prints a table and writes the figures with the machine's facts as JSON. Peers that are not installed
say so; `--peers-python` names an interpreter that has Celery, Dask or Ray. Whatever was started has
ended when this ends.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import group_depth
import group_files
import group_hosts
import group_idle
import group_logs
import group_memory
import group_reduce
import group_restart
import group_security
import group_slots
import group_speed
import group_start
from figures import Figure, heading
from processes import adopt_orphans, end_all

_PACKAGES = ("taskgrid", "pydantic", "pydantic-core", "typer", "cryptography")
_LONGEST = 1800
"""Seconds for one group: a program that ended or hangs must not hold up the rest."""


def groups(options: argparse.Namespace) -> dict[str, Callable[[], Iterable[Figure]]]:
    """Return each group's name and what measures it."""
    full, rounds = options.full, options.rounds
    return {
        "speed": lambda: group_speed.measure(
            full=full, rounds=rounds, peers_python=options.peers_python, prototype=options.prototype
        ),
        "depth": lambda: group_depth.measure(full=full, rounds=rounds),
        "memory": lambda: group_memory.measure(full=full),
        "reduce": lambda: group_reduce.measure(full=full, rounds=rounds),
        "restart": lambda: group_restart.measure(full=full, rounds=rounds),
        "hosts": lambda: group_hosts.measure(full=full),
        "security": lambda: group_security.measure(full=full, rounds=rounds),
        "slots": lambda: group_slots.measure(full=full),
        "files": lambda: group_files.measure(full=full, rounds=rounds),
        "idle": group_idle.measure,
        "logs": lambda: group_logs.measure(full=full, rounds=rounds, peers_python=options.peers_python),
        "start": lambda: group_start.measure(rounds=rounds),
    }


def main() -> int:
    """Measure what was asked for; the exit status is that of a program, not of the figures."""
    options = _options()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each program compiles all it imports, as no user's does
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGALRM, _give_up)
    facts = _environment(options)
    print(f"TaskGrid {facts['versions']['taskgrid']}, Python {facts['python']}, {facts['cpus']} cores ({facts['cpu']})")
    print(f"load {facts['load']}; median of {options.rounds} runs where a run is short\n\n{heading()}")
    figures: list[dict[str, Any]] = []
    begun = time.monotonic()
    try:
        for name, measure in groups(options).items():
            if not options.only or name in options.only:
                figures += _group(name, measure)
    finally:
        end_all()
        _write(options.json, facts | {"seconds": round(time.monotonic() - begun)}, figures)
    print(f"\n{time.monotonic() - begun:.0f} s; written to {options.json}")
    return int(any("error" in figure for figure in figures))


def _group(name: str, measure: Callable[[], Iterable[Figure]]) -> list[dict[str, Any]]:
    """Measure one group; one that fails is shown and does not stop the others."""
    load = os.getloadavg()[0]
    done = []
    signal.alarm(_LONGEST)
    try:
        for figure in measure():
            print(figure.as_row(), flush=True)
            done.append(figure.as_json() | {"load": round(load, 2)})
    except Exception as error:  # noqa: BLE001  # whatever it is, the other groups' figures are worth having
        print(f"{name}: {type(error).__name__}: {error}", flush=True)
        done.append({"group": name, "error": f"{type(error).__name__}: {error}"})
    signal.alarm(0)
    end_all()
    print()
    return done


def _give_up(*_: object) -> None:
    raise TimeoutError(f"not done in {_LONGEST} s")


def _options() -> argparse.Namespace:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", action="append", metavar="GROUP", help="a group, repeatable; all of them otherwise")
    parser.add_argument("--full", action="store_true", help="the targets' own sizes; takes half an hour")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of what is short (default 3)")
    parser.add_argument("--json", type=Path, default=here / "latest.json", metavar="PATH", help="where figures go")
    parser.add_argument("--date", default=time.strftime("%Y-%m-%d"), help="the date that the file says")
    parser.add_argument("--peers-python", default=sys.executable, metavar="PATH", help="an interpreter with the peers")
    parser.add_argument("--prototype", metavar="PATH", help="a prototype's program, to be run beside")
    options = parser.parse_args()
    unknown = set(options.only or ()) - set(groups(options))
    if unknown:
        parser.error(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(groups(options))}")
    return options


def _environment(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "date": options.date,
        "full": options.full,
        "rounds": options.rounds,
        "cpus": os.cpu_count(),
        "cpu": _cpu(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _write(path: Path, facts: dict[str, Any], figures: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps({"environment": facts, "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
