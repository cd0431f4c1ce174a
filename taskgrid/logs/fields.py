"""The standard names of a log line's fields, and those fields that are a part of another.

A format's own columns are as the line has them: `client`, `time`, `request`, `status`. From a
column come further fields: `path` from the request, `hour` from the time. Nothing here knows a
format; times are known by how they look.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from taskgrid.logs.severities import SEVERITIES, facility_name

__all__: list[str] = []  # made for other modules, not for workers to offer

_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_REQUEST: Final = re.compile(rb"([A-Za-z-]{1,24}) +(\S.*?)(?: +(HTTP/[\d.]+))?", re.DOTALL)
_DURATION: Final = re.compile(rb"(?<![^ =])(\d+\.\d+)(?![^ ])")
_SECONDS: Final = rb"(?::?(\d\d))?"
_ACCESS: Final = re.compile(rb"(\d\d)/(\w{3})/(\d{4}):(\d\d)(?::(\d\d))?%b[^+-]*([+-]\d{4})" % _SECONDS)
_ISO: Final = re.compile(rb"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d)(?::?(\d\d))?%b[^Z+-]*(Z|[+-]\d\d:?\d\d)?" % _SECONDS)
_SYSLOG: Final = re.compile(rb"(\w{3}) +(\d{1,2}) (\d\d):(\d\d)%b" % _SECONDS)
_COMPACT: Final = re.compile(rb"(\d\d)(\d\d)(\d\d) +(\d\d):?(\d\d):?(\d\d)")
_EPOCH: Final = re.compile(rb"(\d{9,10})(?:\d{3}){0,3}(?:\.\d+)?")


class Moment(NamedTuple):
    """A time to the second, in the words of ISO 8601."""

    day: bytes
    hour: bytes
    minute: bytes
    second: bytes
    zone: bytes


def text(raw: bytes) -> str:
    """Return bytes as text; what is no UTF-8 is shown as an escape."""
    return raw.decode("utf-8", "backslashreplace")


def moment(time: bytes) -> Moment | None:
    """Read a time as access logs, syslog, ISO 8601, Hadoop or Unix write it; a syslog's day has no year: `--12-10`."""
    if found := _ACCESS.match(time):
        day, month, year, hour, minute, second, zone = found.groups()
        return Moment(b"%b-%b-%b" % (year, _month(month), day), hour, minute or b"00", second or b"00", zone)
    if found := _ISO.match(time):
        year, month, day, hour, minute, second, zone = found.groups()
        return Moment(b"%b-%b-%b" % (year, month, day), hour, minute or b"00", second or b"00", zone or b"")
    if found := _SYSLOG.match(time):
        month, day, hour, minute, second = found.groups()
        return Moment(b"--%b-%b" % (_month(month), day.zfill(2)), hour, minute, second or b"00", b"")
    if found := _COMPACT.fullmatch(time):
        year, month, day, hour, minute, second = found.groups()
        return Moment(b"20%b-%b-%b" % (year, month, day), hour, minute, second, b"")
    if found := _EPOCH.fullmatch(time):
        there = datetime.fromtimestamp(int(found[1]), UTC).strftime("%Y-%m-%d %H %M %S").encode()
        day, hour, minute, second = there.split()
        return Moment(day, hour, minute, second, b"Z")
    return None


def _month(name: bytes) -> bytes:
    return b"%02d" % (_MONTHS.index(name) + 1 if name in _MONTHS else 0)


def _day(time: bytes) -> bytes | None:
    found = moment(time)
    return found and found.day


def _hour(time: bytes) -> bytes | None:
    found = moment(time)
    return found and found.day + b"T" + found.hour + found.zone


def _minute(time: bytes) -> bytes | None:
    found = moment(time)
    return found and found.day + b"T" + found.hour + b":" + found.minute + found.zone


def _part(number: int) -> Callable[[bytes], bytes | None]:
    def part(request: bytes) -> bytes | None:
        found = _REQUEST.fullmatch(request)
        return found and found[number]

    return part


def _duration(extra: bytes) -> bytes | None:
    found = _DURATION.search(extra)
    return found and found[1]


def _severity(priority: bytes) -> bytes | None:
    return SEVERITIES[int(priority) & 7] if _is_priority(priority) else None


def _facility(priority: bytes) -> bytes | None:
    return facility_name(b"%d" % (int(priority) >> 3)) if _is_priority(priority) else None


def _is_priority(priority: bytes) -> bool:
    return priority.isdigit() and len(priority) <= len("191")


PARTS: Final[Mapping[str, tuple[str, Callable[[bytes], bytes | None]]]] = {
    "day": ("time", _day),
    "hour": ("time", _hour),
    "minute": ("time", _minute),
    "method": ("request", _part(1)),
    "path": ("request", _part(2)),
    "protocol": ("request", _part(3)),
    "duration": ("extra", _duration),
    "severity": ("priority", _severity),
    "facility": ("priority", _facility),
}
"""Fields that are a part of a column: that column's name, and how to get one from the other."""


def value_of(field: str, column: bytes) -> bytes | None:
    """Return what a field is, given its column's value; None if it has none."""
    return PARTS[field][1](column) if field in PARTS else column
