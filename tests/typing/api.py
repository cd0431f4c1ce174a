"""User code that the type checker must accept: `@task` keeps a function's type."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import assert_type

from taskgrid import current_task, task
from taskgrid.functions import NamedSignature, Runner, Signature, code_version, name_of, options_of
from taskgrid.model import CodeVersion, TaskOptions


@task
def count(path: Path, *, pattern: str = "ERROR") -> int:
    """Count the lines with a pattern."""
    return sum(pattern in line for line in path.open())


@task(time_limit=timedelta(minutes=5), max_attempts=3, priority=1, memory_limit="2GiB", name="sizes", version="1")
def size(path: Path) -> int:
    """Return a file's size."""
    return path.stat().st_size


@task(time_limit="90s", backoff="10s")
async def fetch(place: str) -> bytes | None:
    """Fetch something."""
    return place.encode() if current_task().attempt == 1 else None


assert_type(count(Path("x"), pattern="y"), int)
assert_type(size(Path("x")), int)
assert_type(name_of(count), str)
assert_type(options_of(fetch), TaskOptions)
assert_type(code_version(fetch), CodeVersion)
assert_type(Signature.of(count).encode_items([Path("a")], first=3), list[bytes])
assert_type(NamedSignature("mylogs:count").encode_call(("a",), {"pattern": "x"}), bytes)
with Runner(count) as runner:
    assert_type(runner.run(b'["x"]'), bytes)


async def use() -> None:
    """Await an async task's function as any other."""
    assert_type(await fetch("x"), bytes | None)
