"""Hits over time: hours of a log, put together into as many spans as a small plot has room for.

A log's hours come as `2015-05-17T10+0000`, in its own zone; a syslog's have no year: `--12-10T06`. Years
before 1970 and after 2199 are no log's: they are what a clock or a program says that knows no time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

__all__: list[str] = []  # made for people who look, not for workers to offer

_HOUR: Final = re.compile(r"(19[7-9]\d|20\d\d|21\d\d|-)-(\d\d)-(\d\d)T(\d\d)(?:Z|([+-])(\d\d):?(\d\d))?")
_SOME_YEAR: Final = 2000
"""For times without one: it has a 29 February."""
_STEPS: Final = (1, 2, 3, 6, 12, 24, 48, 7 * 24, 14 * 24, 28 * 24, 91 * 24, 364 * 24)
"""Hours that a span may have."""


class Span(NamedTuple):
    """Some hours of a log."""

    label: str
    """When it begins, in the zone that most lines have."""
    hits: int


class Series(NamedTuple):
    """A log's hits over time, without a gap."""

    spans: list[Span]
    hours: int
    """How many hours a span has."""
    zone: str
    """As `+0200`; empty if the log names none."""


def over_time(hits: Mapping[str, int], most: int) -> Series | None:
    """Return at most `most` spans that hold all hits; None if no hour of a log is among the keys.

    Hours without a year have no place among others: they are left out unless there are no others.
    """
    found = [(match, hits[name]) for name in hits if (match := _HOUR.fullmatch(name)) and hour_of(name)]
    found = [each for each in found if each[0][1] != "-"] or found
    if not found:
        return None
    zones = Counter[str]()
    for match, count in found:
        zones[_zone(match)] += count
    zone = zones.most_common(1)[0][0]
    there = _offset(zone)
    hours = Counter[int]()
    for match, count in found:
        hours[_hour(match, there)] += count
    first, last = min(hours), max(hours)
    longest = (last - first) // (most - 1) + 1 if most > 1 else last + 1
    step = next((step for step in _STEPS if _count(first, last, step) <= most), longest)
    spans = Counter[int]()
    for hour, count in hours.items():
        spans[hour // step] += count
    yearless = all(match[1] == "-" for match, _ in found)
    labels = range(first // step, last // step + 1)
    return Series([Span(_label(number * step, step, yearless), spans[number]) for number in labels], step, zone)


def hour_of(name: str) -> datetime | None:
    """Return when an hour of a log begins; None if there is no such hour, or it is no log's."""
    match = _HOUR.fullmatch(name)
    try:
        return match and _moment(match)
    except ValueError:  # the 99th of May, a zone a week away
        return None


def _count(first: int, last: int, step: int) -> int:
    return last // step - first // step + 1


def _zone(match: re.Match[str]) -> str:
    return f"{match[5]}{match[6]}{match[7]}" if match[5] else "+0000" if match[0].endswith("Z") else ""


def _offset(zone: str) -> timedelta:
    return timedelta() if not zone else int(f"{zone[0]}1") * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))


def _moment(match: re.Match[str]) -> datetime:
    year = _SOME_YEAR if match[1] == "-" else int(match[1])
    return datetime(year, int(match[2]), int(match[3]), int(match[4]), tzinfo=timezone(_offset(_zone(match))))


def _hour(match: re.Match[str], there: timedelta) -> int:
    """Return the hours since 1970, as a clock `there` shows them."""
    return int((_moment(match).astimezone(UTC) + there).timestamp()) // 3600


def _label(hour: int, step: int, yearless: bool) -> str:
    begins = datetime.fromtimestamp(hour * 3600, UTC)
    day = begins.strftime("%m-%d" if yearless else "%Y-%m-%d")
    return f"{day} {begins:%H}:00" if step < 24 else day
