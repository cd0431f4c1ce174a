"""The formats of log lines, by name or found by content.

    access       Apache and nginx: common, combined, and whatever begins so
    vhost        the same with the virtual host first
    syslog       RFC 3164, as files have it: `Dec 10 06:55:46 host sshd[24200]: ...`, or with an ISO time
    syslog5424   RFC 5424
    json         one JSON object per line, its keys the fields; `a.b` is `b` in the object `a`
    (?P<...>...) anybody's own: a regular expression with a named group for each field

A line is what stands between newlines, less a carriage return at its end. A format says which of them
are good and what their columns hold; `count` and others ask it per block, `read` is its definition.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from pydantic_core import from_json, to_json

from taskgrid.errors import UsageError
from taskgrid.lines.columns import read_columns
from taskgrid.lines.patterns import COLUMNS, access
from taskgrid.logs.fields import PARTS

__all__: list[str] = []  # made for other modules, not for workers to offer

Record = Mapping[str, bytes | None]
"""A good line's columns; None for one that the line lacks."""


class Found(NamedTuple):
    """How often a column's values occur in a block."""

    lines: int
    good: int
    counts: Mapping[bytes, int]


class Format(Protocol):
    """What a line is."""

    @property
    def name(self) -> str:
        """The name for people."""

    @property
    def columns(self) -> Collection[str] | None:
        """The columns that lines can have; None for any."""

    def read(self, line: bytes) -> Record | None:
        """Return a line's columns; None if it is bad."""

    def values(self, block: bytes, column: str) -> Found:
        """Count a column's values in a block of whole lines."""


@dataclass(frozen=True)
class Access:
    """The format of web servers' access logs, read many lines at a time."""

    name: str
    host: bool = False

    @property
    def columns(self) -> Collection[str]:
        """The log's columns."""
        return ("host", *COLUMNS) if self.host else COLUMNS

    def read(self, line: bytes) -> Record | None:
        """Match the pattern."""
        found = access(host=self.host).match(line)
        return found and found.groupdict()

    def values(self, block: bytes, column: str) -> Found:
        """Count quickly, and exactly where that is not sure."""
        read = read_columns(block, (column,), host=self.host)
        counts: Counter[bytes] = Counter()
        for part in read.parts:
            counts.update(part.counts(column))
        return Found(read.lines, read.good, counts)


class LineByLine:
    """A format whose lines are read one after another."""

    def read(self, line: bytes) -> Record | None:
        """Return a line's columns; None if it is bad."""
        raise NotImplementedError

    def values(self, block: bytes, column: str) -> Found:
        """Read each line."""
        lines = split(block)
        records = [record for record in map(self.read, lines) if record is not None]
        values = Counter(record.get(column) for record in records)
        return Found(len(lines), len(records), {value: count for value, count in values.items() if value is not None})


class Pattern(LineByLine):
    """Lines that begin as a regular expression says, whose named groups are the columns."""

    def __init__(self, name: str, pattern: str) -> None:
        self.name = name
        try:
            self._pattern = re.compile(pattern.encode())
        except re.error as error:
            raise UsageError(f"not a regular expression: {pattern}", why=str(error)) from None
        if not self._pattern.groupindex:
            raise UsageError(f"a format needs named groups: {pattern}", hint="As in (?P<level>INFO|WARN).")
        self.columns: Collection[str] = tuple(self._pattern.groupindex)

    def read(self, line: bytes) -> Record | None:
        """Match the pattern."""
        found = self._pattern.match(line)
        return found and found.groupdict()


class Json(LineByLine):
    """One JSON object per line."""

    name = "json"
    columns = None

    def read(self, line: bytes) -> Record | None:
        """Parse the line; text is taken as it is, all else as JSON."""
        try:
            found = from_json(line)
        except ValueError:
            return None
        return _Columns(found) if isinstance(found, dict) else None


class _Columns(dict[str, Any]):
    """A JSON object's members, as columns."""

    def get(self, name: str, default: Any = None) -> Any:
        """Return a member as bytes, be it in an inner object or under another name; None if it is null or missing."""
        value = super().get(name) if name in self else self._inner(name)
        for alias in () if value is not None else ALIASES.get(name, ()):
            value = super().get(alias) if value is None else value
        if value is None and name in PARTS and name != "facility":  # a program's own priority has none
            column, part = PARTS[name]
            whole = self.get(column)
            return default if whole is None else part(whole)
        if value is None:
            return default
        if isinstance(value, str):
            return value.encode("utf-8", "backslashreplace")
        return bytes(value) if _is_text_in_numbers(value) else to_json(value)

    def _inner(self, name: str) -> Any:
        if "." not in name:
            return None
        value: Any = dict(self)
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def __getitem__(self, name: str) -> Any:
        return self.get(name)


def _is_text_in_numbers(value: Any) -> bool:
    """Say whether a value is how the systemd journal writes text that is no UTF-8."""
    return isinstance(value, list) and bool(value) and all(type(each) is int and 0 <= each < 256 for each in value)


ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": ("timestamp", "@timestamp", "ts", "time_local", "time_iso8601", "__REALTIME_TIMESTAMP"),
    "client": ("remote_addr", "remote_ip", "client_ip", "ip"),
    "bytes": ("body_bytes_sent", "bytes_sent", "size"),
    "request": ("request_line",),
    "method": ("request_method",),
    "path": ("request_uri", "uri", "url"),
    "referrer": ("http_referer", "referer"),
    "agent": ("http_user_agent", "user_agent"),
    "severity": ("level", "levelname", "lvl", "log.level", "PRIORITY"),
    "facility": ("SYSLOG_FACILITY",),
    "host": ("hostname", "_HOSTNAME"),
    "program": ("SYSLOG_IDENTIFIER", "logger", "service", "app", "name"),
    "message": ("msg", "event", "MESSAGE", "log"),
    "duration": ("request_time",),
}
"""Keys that are taken for a standard name if an object lacks that: what programs usually call them."""

_TAG: Final = r"(?P<program>[^\s:\[]+)(?:\[(?P<pid>[^\]]*)\])?:"
_SYSLOG: Final = (
    r"(?:<(?P<priority>\d{1,3})>)?"
    r"(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))"
    rf" (?P<host>\S+) (?:{_TAG} ?)?(?P<message>.*)"
)
_SYSLOG5424: Final = (
    r"<(?P<priority>\d{1,3})>1 (?P<time>\S+) (?P<host>\S+) (?P<program>\S+) (?P<pid>\S+) (?P<id>\S+) "
    r'(?P<data>-|(?:\[[^\s\]]+(?: [^\s=]+="(?:[^"\\\]]|\\.)*")*\])+)(?: (?P<message>.*))?$'
)

FORMATS: Final[Mapping[str, Format]] = {
    "json": Json(),
    "syslog5424": Pattern("syslog5424", _SYSLOG5424),
    "vhost": Access("vhost", host=True),
    "access": Access("access"),
    "syslog": Pattern("syslog", _SYSLOG),
}
"""By name; of several that fit, the first is the one found by content."""
_NAMES: Final = {"common": "access", "combined": "access", "nginx": "access", "apache": "access", "rfc3164": "syslog"}
_DIGITS: Final = 3
"""Of a status."""
_SAMPLE, _SAMPLE_BYTES = 100, 64 << 10
"""Lines that are looked at, and the bytes that they are looked for in."""


def named(name: str) -> Format:
    """Return the format of that name, or the one that a regular expression with named groups describes."""
    if "(?P<" in name:
        return Pattern("pattern", name)
    try:
        return FORMATS[_NAMES.get(name, name)]
    except KeyError:
        known = ", ".join([*FORMATS, *_NAMES])
        raise UsageError(f"no format is called {name}", why=f"There are {known}.", hint=_OWN) from None


def recognised(sample: bytes) -> Format:
    """Return the format of most lines of a log's beginning; UsageError if it is none of the known."""
    lines = _sampled(sample)
    good = {name: sum(format_.read(line) is not None for line in lines) for name, format_ in FORMATS.items()}
    best = max(good, key=lambda name: good[name])
    if 2 * good[best] < len(lines):
        known = ", ".join(FORMATS)
        raise UsageError(
            "this log is of no known format: name one with --format, or describe a line with a regular expression",
            why=f"Most lines are none of {known}.",
            hint=_OWN,
        )
    return FORMATS[best] if lines else FORMATS["access"]


def has_requests(log: Format, sample: bytes) -> bool:
    """Say whether a log with this beginning has requests, as a web server's: most of its lines have a status."""
    if isinstance(log, Access):
        return True
    records = [record for line in _sampled(sample) if (record := log.read(line)) is not None]
    return len(records) < 2 * sum(status_of(record) is not None for record in records)


def status_of(record: Record) -> bytes | None:
    """Return the status of a line's request; None if it has none."""
    status = record.get("status")
    return status if status and len(status) == _DIGITS and status.isdigit() else None


def _sampled(sample: bytes) -> list[bytes]:
    whole = sample[: sample.rfind(b"\n", 0, _SAMPLE_BYTES) + 1] or sample
    return [line for line in split(whole)[:_SAMPLE] if line]


_OWN: Final = "Describe a line with a regular expression that has a named group for each field: (?P<level>\\w+) ..."


def column_of(field: str, log: Format) -> str:
    """Return the column that a field is, or is a part of; UsageError if lines of this format have none."""
    if log.columns is None or field in log.columns:
        return field
    if field in PARTS and PARTS[field][0] in log.columns:
        return PARTS[field][0]
    parts = [part for part, (column, _) in PARTS.items() if column in log.columns]
    raise UsageError(f"{log.name} lines have no field {field}", why=f"They have {', '.join([*log.columns, *parts])}.")


def split(block: bytes) -> list[bytes]:
    """Return a block's lines."""
    lines = block.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line[:-1] if line.endswith(b"\r") else line for line in lines] if b"\r" in block else lines
