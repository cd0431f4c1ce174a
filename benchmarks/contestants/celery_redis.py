"""Celery with Redis as broker and result backend: a worker with two processes, its defaults else.

    python celery_redis.py TASKS CALLS

Redis runs with its defaults too: a snapshot now and then, so what was accepted since the last one is
lost with the machine, and with Redis.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import stopwatch  # the folder above is put on the path first

try:
    from celery import Celery, group
except ImportError:
    stopwatch.not_installed()

_URL = os.environ.get("BENCHMARK_REDIS", "")
app = Celery("celery_redis", broker=_URL, backend=_URL)


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def same(number: int) -> int:
    """Do nothing."""
    return number


def main(tasks: int, calls: int) -> None:
    """Start Redis and a worker, measure and tell."""
    redis = shutil.which("redis-server")
    if redis is None:
        stopwatch.not_installed()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"redis://127.0.0.1:{port}/0"
    app.conf.update(broker_url=url, result_backend=url)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        _run(stack, [str(redis), "--bind", "127.0.0.1", "--port", str(port), "--dir", folder], {})
        worker = ["-m", "celery", "-A", "celery_redis", "worker", "--concurrency", "2", "--loglevel", "ERROR"]
        _run(stack, [sys.executable, *worker], {"BENCHMARK_REDIS": url})
        _await_worker()
        _map(100)  # its processes are warm, as those of the others are
        rate = stopwatch.rate(tasks, lambda: _map(tasks))
        stopwatch.tell(rate=rate, **stopwatch.trips(calls, lambda index: same.delay(index).get(timeout=60)))


def _run(stack: contextlib.ExitStack, words: list[str], variables: dict[str, str]) -> None:
    program: subprocess.Popen[Any] = subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | variables,
        cwd=Path(__file__).resolve().parent,
    )
    stack.callback(_end, program)


def _end(program: subprocess.Popen[Any]) -> None:
    program.terminate()
    try:
        program.wait(10)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def _await_worker() -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            same.delay(1).get(timeout=30)
        except Exception:  # Redis isn't there yet; its errors have no common root with Celery's
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _map(tasks: int) -> int:
    return sum(group(same.s(index) for index in range(tasks)).apply_async().get(timeout=300))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
