r"""Counts the fields of access log lines, a block at a time; the fast part of `taskgrid.logs`.

`_EXACT` defines a good line: it must *begin* as the common log format does; what follows is not
looked at, so the combined format and longer ones are read too. `_quick` takes half the time because
it leaves out what makes a regular expression slow: alternatives, and sets of more than one
character (`[^ ]` is one loop in C, `[^ \n]` a table lookup per byte). What it leaves out is made up
for per block. Splitting a block by it leaves nothing between the matches, and they are as many as
the lines, only if each line is one match; hours, statuses and sizes are checked by distinct value.
A block that does not pass (an escaped quote, a second time zone, junk) is read again with `_EXACT`:
the same counts, by test. This module opens no file and knows no summary.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from operator import add
from typing import Final, NamedTuple

__all__ = ["Columns"]

_DIGITS: Final = 18
"""Digits of a size at most: no file is larger, and nobody's totals overflow."""

_HOUR: Final = rb"(?:0[1-9]|[12]\d|3[01])/(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/\d{4}:(?:[01]\d|2[0-3])"
_ZONE: Final = rb"[+-]\d{4}"
_EXACT: Final = re.compile(
    rb"^([^ \n]+) [^ \n]* [^\n]*?\[(%b)[^ \n]* (%b)\] " % (_HOUR, _ZONE)  # client, identity, user, time
    + rb'"([^"\\\n]*(?:\\.[^"\\\n]*)*)" '  # the request; Apache writes \" for a quote in it
    + rb"(\d{3}) (\d{1,%d}|-)(?![^ \r\n])" % _DIGITS,
    re.MULTILINE,
)
_FIRST_ZONE: Final = re.compile(rb'[^\n]*? (%b)\] "' % _ZONE)
_HOURS: Final = re.compile(_HOUR)
_STATUS: Final = re.compile(rb"\d{3}")


class Found(NamedTuple):
    """What the good lines of a block hold: a value per line, or counts where values are few."""

    clients: Sequence[bytes]
    hits: Mapping[bytes, int]
    """By hour and zone, as `17/May/2015:10+0000`."""
    requests: Sequence[bytes]
    statuses: Mapping[bytes, int]
    size: int


class Columns:
    """Counts of the values of each column, as the log has them."""

    def __init__(self) -> None:
        self.lines = 0
        self.good = 0
        self.size = 0
        self.clients: Counter[bytes] = Counter()
        self.hits: Counter[bytes] = Counter()
        self.requests: Counter[bytes] = Counter()
        self.statuses: Counter[bytes] = Counter()

    def add(self, block: bytes) -> None:
        """Count a block of whole lines, the last one's newline included."""
        lines = block.count(b"\n")
        found = quickly(block, lines) or exactly(block)
        self.lines += lines
        self.good += len(found.clients)
        self.size += found.size
        self.clients.update(found.clients)
        self.hits.update(found.hits)
        self.requests.update(found.requests)
        self.statuses.update(found.statuses)


def quickly(block: bytes, lines: int) -> Found | None:
    """Read a block of that many lines; None if any of them is not plainly good."""
    zone = _FIRST_ZONE.match(block)
    if zone is None:
        return None
    fields = _quick(zone[1]).split(block)
    if len(fields) != 6 * lines + 1 or any(fields[::6]):
        return None
    hours, statuses, sizes = Counter(fields[2::6]), Counter(fields[4::6]), fields[5::6]
    if not (_all(_HOURS, hours) and _all(_STATUS, statuses) and max(map(len, sizes)) <= _DIGITS):
        return None
    hits = {hour + zone[1]: count for hour, count in hours.items()}
    return Found(fields[1::6], hits, fields[3::6], statuses, _sum(sizes))


def exactly(block: bytes) -> Found:
    """Read what good lines there are in a block."""
    found = _EXACT.findall(block)
    clients, hours, zones, requests, statuses, sizes = zip(*found, strict=True) if found else ((),) * 6
    return Found(clients, Counter(map(add, hours, zones)), requests, Counter(statuses), _sum(sizes))


@lru_cache(maxsize=32)
def _quick(zone: bytes) -> re.Pattern[bytes]:
    """Return the pattern for lines of one time zone: a zone that is given need not be captured."""
    return re.compile(
        rb'([^ ]+) [^ ]* [^\[]*\[([^:]*:..)[^ ]* %b\] "([^"]*)(?<!\\)" (...) ([0-9]+|-)(?![^ \r\n]).*\n'
        % re.escape(zone)
    )


def _sum(sizes: Sequence[bytes]) -> int:
    return sum(map(int, [size for size in sizes if size != b"-"]))


def _all(pattern: re.Pattern[bytes], values: Collection[bytes]) -> bool:
    return all(map(pattern.fullmatch, values))
