"""What reading through slices costs: against Python's own loop, against many small files, and over two slots."""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import bench_tasks
from figures import Figure, at_least, at_most
from programs import private_grid

from taskgrid.files import FileSlice, plan

_MEMBER = 1 << 20
_SMALL = 1 << 20
_READ = 256 << 10


def measure(*, full: bool, rounds: int) -> Iterator[Figure]:
    """Yield ratios and rates."""
    folder = Path(tempfile.mkdtemp(prefix="taskgrid-files-"))
    try:
        large, small, packed = _made(folder, (1 << 30) if full else (128 << 20))
        yield from _reading(large, rounds)
        yield _grid_ratio(large, small, rounds, split="64MiB" if full else "8MiB")
        yield _two_slots(packed, rounds)
    finally:
        shutil.rmtree(folder)


def _made(folder: Path, size: int) -> tuple[Path, list[Path], Path]:
    """Write the same lines as one file, as many small ones, and as gzip members."""
    source = random.Random(7)
    lines = [
        f"10.0.{source.getrandbits(8)}.1 GET /{source.getrandbits(64):x} 200 {number}\n" for number in range(20_000)
    ]
    text = "".join(lines).encode()
    part = text[: text.rfind(b"\n", 0, _SMALL) + 1]
    member = gzip.compress(part)
    large, packed = folder / "large.log", folder / "members.gz"
    small = [folder / f"{number}.log" for number in range(size // len(part))]
    with large.open("wb") as one, packed.open("wb") as members:
        for path in small:
            path.write_bytes(part)
            one.write(part)
            members.write(member)
    return large, small, packed


def _reading(large: Path, rounds: int) -> Iterator[Figure]:
    (piece,) = plan(large, "none")
    lines = _ratios(lambda: _drain(piece), lambda: _drain_file(large), rounds)
    name = "lines of a slice: time / Python's own `for line in file`"
    yield Figure("files", name, "", lines, at_most(1.1), f"{large.stat().st_size >> 20} MiB, in the page cache")
    blocks = _ratios(lambda: _drain(piece.blocks()), lambda: _drain(_reads(large)), rounds)
    yield Figure("files", "blocks of a slice: time / read() of as much", "", blocks, at_most(1.25))
    rate = large.stat().st_size / 1e9
    runs = tuple(rate / _seconds(lambda: _drain(piece.blocks())) for _ in range(rounds))
    yield Figure("files", "blocks of a slice", "GB/s", runs)


def _grid_ratio(large: Path, small: list[Path], rounds: int, *, split: str) -> Figure:
    with private_grid() as programs:
        programs.start_master()
        programs.start_worker(slots=2)
        with programs.grid() as grid:

            def run(pieces: Iterable[FileSlice]) -> None:
                sum(grid.map(bench_tasks.count_sevens, pieces))

            run(islice(plan(small), 8))
            ratios = _ratios(lambda: run(plan(large, split)), lambda: run(plan(small)), rounds)
    name = f"one file in slices of {split}: time / {len(small)} small files"
    return Figure("files", name, "", ratios, at_most(1.1), "2 slots")


def _two_slots(packed: Path, rounds: int) -> Figure:
    size = packed.stat().st_size
    pieces = list(plan(packed, size // 16)) * max(1, (1 << 29) // size)  # seconds of work, whatever the size
    seconds = []
    for slots in (1, 2):
        with private_grid() as programs:
            programs.start_master()
            programs.start_worker(slots=slots)
            with programs.grid() as grid:
                list(grid.map(bench_tasks.count_sevens, pieces[:4]))
                seconds.append(
                    [
                        _seconds(lambda: sum(grid.map(bench_tasks.count_sevens, pieces))) for _ in range(rounds)
                    ]  # run at once
                )
    runs = tuple(one / two for one, two in zip(*seconds, strict=True))
    return Figure(
        "files", "gzip members: one slot's time / two slots'", "", runs, at_least(1.8), f"{size >> 20} MiB stored"
    )


def _ratios(ours: Callable[[], None], theirs: Callable[[], None], rounds: int) -> tuple[float, ...]:
    """Measure both in turn, so that a slow moment harms both alike."""
    ours()
    theirs()
    return tuple(_seconds(ours) / _seconds(theirs) for _ in range(rounds))


def _seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def _drain(items: Iterable[object]) -> None:
    deque(items, maxlen=0)


def _drain_file(path: Path) -> None:
    with path.open("rb") as file:
        _drain(file)


def _reads(path: Path) -> Iterator[bytes]:
    with io.FileIO(os.fspath(path)) as file:
        while data := file.read(_READ):
            yield data
