r"""Counts the columns of access log lines, a block at a time: the door of `taskgrid.lines`.

`patterns.access` defines what a line is; it is also slow. So a quick way reads the lines it is sure
of and hands the rest, as they are, to the exact way: the same counts, by test. With numpy (the
`logs` extra) the quick way is `vectors`. Without it a regular expression is split by, that leaves out
what makes one slow: alternatives, and sets of more than one character (`[^ ]` is one loop in C,
`[^ \n]` a table lookup per byte). What it leaves out is made up for per block: splitting by it leaves
nothing between the matches, and they are as many as the lines, only if each line is one match; hours,
statuses and sizes are checked by distinct value. This module opens no file and knows no summary.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from types import ModuleType
from typing import Final, NamedTuple, Protocol

from taskgrid.lines.memory import keep_freed_memory
from taskgrid.lines.patterns import DIGITS, HOUR, ZONE, access

SUMMARY: Final = frozenset({"client", "hour", "request", "status", "bytes", "referrer", "agent"})
"""The columns that a summary counts. `hour` is the hour and zone of the time, as `17/May/2015:10+0000`."""
ERROR: Final = b"400"
"""The least status that is an error."""

_FIRST_ZONE: Final = re.compile(rb'[^\n]*? (%b)\] "' % ZONE)
_HOURS: Final = re.compile(HOUR)
_STATUS: Final = re.compile(rb"\d{3}")


class Lines(Protocol):
    """Good lines of a block, of which some columns were read."""

    @property
    def good(self) -> int:
        """How many they are."""

    def counts(self, column: str) -> Mapping[bytes, int]:
        """Return how often each value of a column occurs; a line that lacks it counts nowhere."""

    def size(self) -> int:
        """Return the sum of the column `bytes`."""

    def errors(self) -> Iterable[bytes]:
        """Return status and request of each line whose status is an error, as `404 GET / HTTP/1.1`."""


class Read(NamedTuple):
    """What a block holds."""

    lines: int
    parts: Sequence[Lines]

    @property
    def good(self) -> int:
        """The number of good lines."""
        return sum(part.good for part in self.parts)


class ColumnCounts:
    """Counts of the values of each column, as the log has them; what counts a format's lines adds to them."""

    def __init__(self) -> None:
        self.lines = 0
        self.good = 0
        self.size = 0
        self.clients: Counter[bytes] = Counter()
        self.hits: Counter[bytes] = Counter()
        self.requests: Counter[bytes] = Counter()
        self.statuses: Counter[bytes] = Counter()
        self.referrers: Counter[bytes] = Counter()
        self.agents: Counter[bytes] = Counter()
        self.errors: Counter[bytes] = Counter()

    def add(self, block: bytes) -> None:
        """Count a block of whole lines, the last one's newline included."""
        raise NotImplementedError


class Columns(ColumnCounts):
    """Counts the columns of access log lines."""

    def __init__(self, *, host: bool = False) -> None:
        """`host`: the virtual host stands before the client."""
        super().__init__()
        self._host = host

    def add(self, block: bytes) -> None:
        """Count a block of whole lines, the last one's newline included."""
        read = read_columns(block, SUMMARY, host=self._host)
        self.lines += read.lines
        for part in read.parts:
            self._take(part)

    def _take(self, part: Lines) -> None:
        self.good += part.good
        self.size += part.size()
        self.clients.update(part.counts("client"))
        self.hits.update(part.counts("hour"))
        self.requests.update(part.counts("request"))
        self.statuses.update(part.counts("status"))
        self.referrers.update(part.counts("referrer"))
        self.agents.update(part.counts("agent"))
        self.errors.update(part.errors())


def read_columns(block: bytes, columns: Collection[str], *, host: bool = False) -> Read:
    """Read some columns of a block of whole lines; `host`: the virtual host stands before the client."""
    wanted = frozenset(columns)
    vectors = vectorised()
    if vectors is not None and not host and wanted <= vectors.COLUMNS:
        count, quick, odd = vectors.read(block, wanted)
    else:
        count = block.count(b"\n")
        quick, odd = quickly(block) if wanted <= SUMMARY and not host else (None, block)
    parts = [] if quick is None else [quick]
    if odd:
        parts.append(exactly(odd, wanted, host=host))
    return Read(count, parts)


def lines_in(block: bytes) -> int:
    """Return how many newlines a block has."""
    if vectorised() is None:
        return block.count(b"\n")
    from taskgrid.lines.marks import newlines_in  # noqa: PLC0415  # imports numpy

    return newlines_in(block)


def finder(text: bytes, sample: bytes) -> Callable[[bytes], Iterator[int]] | None:
    """Return what yields the places of a text in blocks like the sample; None without a way quicker than `re`'s.

    The text has three bytes at least.
    """
    if vectorised() is None:
        return None
    from taskgrid.lines.pairs import Text  # noqa: PLC0415  # imports numpy

    return Text(text, sample).places


@cache
def vectorised() -> ModuleType | None:
    """Return the vectorised way, if what it needs is here: the `logs` extra."""
    try:
        from taskgrid.lines import vectors  # noqa: PLC0415  # a fifth of a second, which only reading is worth
    except ImportError:  # no numpy, one before its second major version, or no pyarrow
        return None
    keep_freed_memory()
    return vectors


class Rows:
    """Lines with a value per line and column; None where a line has none."""

    def __init__(self, columns: Mapping[str, Sequence[bytes | None]]) -> None:
        self._columns = columns
        self.good = len(next(iter(columns.values())))

    def counts(self, column: str) -> Mapping[bytes, int]:
        """Count a column."""
        if column == "hour" and "hour" not in self._columns:
            return _folded(self.counts("time"))
        found: Counter[bytes | None] = Counter(self._columns[column])
        return {value: count for value, count in found.items() if value is not None}

    def size(self) -> int:
        """Add up the sizes."""
        return sum([int(size) for size in self._columns["bytes"] if size is not None and size != b"-"])

    def errors(self) -> Iterable[bytes]:
        """Pair errors with their requests."""
        pairs = zip(self._columns["status"], self._columns["request"], strict=True)
        return [status + b" " + request for status, request in pairs if status and request and status >= ERROR]


def quickly(block: bytes) -> tuple[Rows | None, bytes]:
    """Read the summary's columns of plainly good lines; return the other lines too, or all if there is any doubt."""
    plain, odd = _parted(block)
    zone = _FIRST_ZONE.match(plain)
    if zone is None:
        return None, block
    fields = _quick(zone[1]).split(plain)
    if len(fields) != 8 * plain.count(b"\n") + 1 or any(fields[::8]):
        return None, block
    hours, sizes = fields[2::8], fields[5::8]
    if not (_all(_HOURS, set(hours)) and _all(_STATUS, set(fields[4::8])) and max(map(len, sizes)) <= DIGITS):
        return None, block
    names = ("client", "hour", "request", "status", "bytes", "referrer", "agent")
    columns = {name: fields[number::8] for number, name in enumerate(names, 1)}
    columns["hour"] = [hour + zone[1] for hour in hours]
    return Rows(columns), odd


def exactly(block: bytes, columns: Collection[str], *, host: bool = False) -> Rows:
    """Read what good lines there are in a block."""
    names = frozenset("time" if name == "hour" else name for name in columns)
    pattern = access(names, host=host)
    rows = [match.groups() for match in pattern.finditer(block)]
    values = zip(*rows, strict=True) if rows else ((),) * len(names)
    return Rows(dict(zip(pattern.groupindex, values, strict=True)))


def _parted(block: bytes) -> tuple[bytes, bytes]:
    """Part a block in its lines without and its lines with a backslash."""
    plain, odd = [], []
    start = 0
    while (at := block.find(b"\\", start)) >= 0:
        first, end = block.rfind(b"\n", start, at) + 1 or start, block.find(b"\n", at) + 1
        plain.append(block[start:first])
        odd.append(block[first:end])
        start = end
    return (b"".join(plain) + block[start:], b"".join(odd)) if odd else (block, b"")


@lru_cache(maxsize=32)
def _quick(zone: bytes) -> re.Pattern[bytes]:
    """Return the pattern for lines of one time zone: a zone that is given need not be captured."""
    return re.compile(
        rb'([^ ]+) [^ ]* [^\[]*\[([^:]*:..)[^ ]* %b\] "([^"]*)" (...) ([0-9]+|-)(?![^ \r\n])' % re.escape(zone)
        + rb'(?: "([^"]*)" "([^"]*)")?.*\n'
    )


def _folded(times: Mapping[bytes, int]) -> Mapping[bytes, int]:
    hours: Counter[bytes] = Counter()
    for time, count in times.items():
        hours[time[:14] + time[-5:]] += count
    return hours


def _all(pattern: re.Pattern[bytes], values: Collection[bytes]) -> bool:
    return all(map(pattern.fullmatch, values))
