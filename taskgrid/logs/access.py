"""Turns one access log file into its summary, in memory that does not grow with the file.

Files are read in blocks that end at a newline, plain or gzip as their first bytes say. This module
knows how counted columns become a summary; what a line is, `columns` knows.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, cast

from taskgrid.logs.columns import Columns
from taskgrid.logs.summary import AccessSummary, Tally, trim

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

BLOCK: Final = 128 << 10
"""Bytes read at once: a block with an odd line is read twice, and its columns should fit a core's cache."""
LONGEST_LINE: Final = 16 << 20
"""Bytes: a longer line is bad, whatever it holds."""
MOST_NAMES: Final = 200_000
"""Names counted per column while a file is read; beyond, the smaller half goes."""

_GZIP: Final = b"\x1f\x8b\x08"
_REQUEST: Final = re.compile(rb"([A-Za-z-]{1,24}) +(\S.*?)(?: +HTTP/[\d.]+)?", re.DOTALL)
_LONGEST_PATH: Final = 1000
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def read_access_log(path: Path) -> AccessSummary:
    """Summarise one file; raises `OSError`, `EOFError` or `zlib.error` if it can't be read to its end."""
    columns = Columns()
    missed: Counter[str] = Counter()
    with _opened(path) as stream:
        for block in blocks(stream):
            columns.add(block)
            for name in ("clients", "requests", "hits"):
                missed[name] += trim(getattr(columns, name), MOST_NAMES)
    return _summary(columns, missed)


def blocks(stream: BinaryIO, *, size: int = BLOCK, longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """Yield the stream in blocks of whole lines, about `size` bytes each; a last line without newline gets one."""
    rest = b""
    while read := stream.read(size):
        cut = read.rfind(b"\n") + 1
        if cut:
            yield rest + read[:cut]
            rest = read[cut:]
        elif len(rest) + len(read) <= longest:
            rest += read
        else:
            rest = b" "  # no good line begins so: it stays bad to its end, and takes no memory
    if rest:
        yield rest + b"\n"


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        compressed = stream.read(len(_GZIP)) == _GZIP
    # A GzipFile reads like a BinaryIO; its class just isn't declared as one.
    return cast(BinaryIO, gzip.open(path, "rb")) if compressed else path.open("rb", buffering=0)


def _summary(columns: Columns, missed: Mapping[str, int]) -> AccessSummary:
    methods: Counter[str] = Counter()
    paths: Counter[str] = Counter()
    for request, hits in columns.requests.items():
        method, path = _parsed(request)
        methods[method] += hits
        paths[path] += hits
    clients = {_text(client): hits for client, hits in columns.clients.items()}
    hours = {_hour(hour): hits for hour, hits in columns.hits.items()}
    return AccessSummary(
        files=1,
        lines=columns.lines,
        bad_lines=columns.lines - columns.good,
        bytes=columns.size,
        statuses={int(status): hits for status, hits in sorted(columns.statuses.items())},
        methods=Tally.of(methods, missed=missed["requests"], names=64, size=4 << 10),
        paths=Tally.of(paths, missed=missed["requests"], names=2000, size=400 << 10),
        clients=Tally.of(clients, missed=missed["clients"], names=2000, size=200 << 10),
        hours=Tally.of(hours, missed=missed["hits"], names=10_000, size=300 << 10),
    )


def _parsed(request: bytes) -> tuple[str, str]:
    match = _REQUEST.fullmatch(request)
    if match is None:
        return "-", "-"
    return match[1].decode("ascii"), _text(match[2][:_LONGEST_PATH])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _hour(raw: bytes) -> str:
    """Turn `17/May/2015:10+0000` into `2015-05-17T10+0000`."""
    text = raw.decode("ascii")
    return f"{text[7:11]}-{_MONTHS.index(text[3:6]) + 1:02}-{text[:2]}T{text[12:]}"
