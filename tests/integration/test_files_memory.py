"""A reader's memory does not grow with its file, nor with how far it was compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

READER = Path(__file__).with_name("files_reader.py")
MOST = 120 << 20


@cache  # when it is wanted, not when tests are collected: each process of pytest's does that
def lines() -> bytes:
    """Return a long log."""
    return b"".join(b"%09d of a log that compresses well\n" % number for number in range(3 << 20))


def empty_lines() -> bytes:
    """Return lines of which one block of bzip2 holds 45 MB."""
    return b"\n" * (120 << 20)


@pytest.mark.parametrize(
    ("made", "pack"),
    [
        pytest.param(lines, lambda data: data, id="plain"),
        pytest.param(lines, lambda data: gzip.compress(data, 1), id="gzip"),
        pytest.param(lines, lambda data: lzma.compress(data, preset=0), id="xz"),
        pytest.param(lines, lambda data: import_module("backports.zstd").compress(data), id="zstd"),
        pytest.param(empty_lines, bz2.compress, id="bzip2"),
    ],
)
def test_a_reader_stays_small(tmp_path: Path, made: Callable[[], bytes], pack: Callable[[bytes], bytes]) -> None:
    """More than 100 MB in one member, or in bzip2's largest blocks: the peak is that of some buffers."""
    path = tmp_path / "file"
    data = made()
    path.write_bytes(pack(data))
    command = [sys.executable, READER, path, "500kB"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, size = map(int, result.stdout.split())
    assert size == len(data)
    assert peak < MOST, f"{peak >> 20} MiB"
