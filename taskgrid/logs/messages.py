"""Turns the lines of a log without requests into their summary: syslog, JSON lines, anybody's own format.

Lines are read one by one, as their format says. What a column means (a level, the hour of a time, a message
without its numbers) is looked up by distinct value, once per block. Memory does not grow with the log.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from taskgrid.logs.fields import PARTS, moment, text, value_of
from taskgrid.logs.folding import Folding
from taskgrid.logs.formats import ALIASES, Format, Record, split
from taskgrid.logs.period import Extremes
from taskgrid.logs.reading import Block, whole_lines
from taskgrid.logs.severities import WORST, facility_name, severity_name
from taskgrid.logs.summary import LogSummary
from taskgrid.merging import Tally
from taskgrid.merging.tally import trim

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

MOST_NAMES: Final = 20_000
"""Names counted of each kind while a log is read; beyond, the smaller half goes."""

_LONGEST: Final = 1000
"""Bytes of a message, a program or a host that are kept."""
_READ: Final = 16 << 10
"""Bytes of a message that are folded: to look through a line of megabytes takes gigabytes."""
_LONGEST_BAD: Final = 200
_WORDS: Final = re.compile(
    rb"(?<![a-z])(?:panic|emergency|critical|fatal|err(?:or)?s?|fail(?:s|ed|ing|ures?)?|exceptions?|denied|warn(?:ings?)?)"
    rb"(?![a-z])",
    re.IGNORECASE,
)
"""What tells a warning where a line has no severity: the files that syslog writes have none."""


def summarised(blocks: Iterable[Block], log: Format, *, files: int = 1) -> LogSummary:
    """Summarise a log in any format, given in blocks that end where a line ends."""
    lines = _Lines(log)
    for block in whole_lines(lines.measured(blocks)):
        lines.add(block)
    return lines.summary(files)


class _Lines:
    """Counts what lines say."""

    def __init__(self, log: Format) -> None:
        folding = Folding()
        self._log = log
        self._times = _Column("time", log)
        self._severity = _Column("severity", log, severity_name)
        self._facility = _Column("facility", log, facility_name)
        self._host = _Column("host", log, _cut)
        self._program = _Column("program", log, _cut)
        self._message = _Column("message", log, lambda message: folding.fold(_first_line(message))[:_LONGEST])
        self._fold_bad = lambda line: folding.fold(line[:_READ])[:_LONGEST_BAD]
        self._lines = self._good = self._size = 0
        self._extremes = Extremes()
        self._hours, self._severities, self._facilities = _Names(), _Names(), _Names()
        self._hosts, self._programs, self._messages = _Names(), _Names(), _Names()
        self._warnings, self._bad = _Names(), _Names()

    def measured(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Pass blocks on, and count their bytes: a last line need not have a newline."""
        for block in blocks:
            self._size += len(block)
            yield block

    def add(self, block: bytes) -> None:
        """Count a block of whole lines."""
        lines = split(block)
        read = list(map(self._log.read, lines))
        records = [record for record in read if record is not None]
        self._lines += len(lines)
        self._good += len(records)
        if len(records) < len(lines):
            bad = (line for line, record in zip(lines, read, strict=True) if record is None)
            self._bad.add(Counter(map(self._fold_bad, bad)))
        self._add_times(Counter(self._times.of(records)))
        self._facilities.add(Counter(self._facility.of(records)))
        self._hosts.add(Counter(self._host.of(records)))
        said = zip(self._severity.of(records), self._program.of(records), self._message.of(records), strict=True)
        self._add_said(Counter(said))

    def _add_times(self, times: Mapping[bytes, int]) -> None:
        moments = {time: found for time in times if (found := moment(time))}
        self._extremes.add(moments.values())
        hours: Counter[bytes] = Counter()
        for time, found in moments.items():
            hours[b"%bT%b%b" % (found.day, found.hour, found.zone)] += times[time]
        self._hours.add(hours)

    def _add_said(self, said: Mapping[tuple[bytes, bytes, bytes], int]) -> None:
        for (severity, program, message), hits in said.items():
            self._severities.counts[severity] += hits
            self._programs.counts[program] += hits
            if not message:
                continue
            whole = b"%b: %b" % (program, message) if program else message
            self._messages.counts[whole] += hits
            if severity in WORST:
                self._warnings.counts[b"%b: %b" % (severity, whole)] += hits
            elif not severity and _is_warning(message):
                self._warnings.counts[whole] += hits
        for names in (self._severities, self._programs, self._messages, self._warnings):
            names.trim()

    def summary(self, files: int) -> LogSummary:
        """Return what it comes to."""
        return LogSummary(
            files=files,
            lines=self._lines,
            bad_lines=self._lines - self._good,
            size=self._size,
            period=self._extremes.period(),
            hours=self._hours.tally(names=10_000, size=250 << 10),
            severities=self._severities.tally(names=100, size=8 << 10),
            facilities=self._facilities.tally(names=100, size=8 << 10),
            hosts=self._hosts.tally(names=2000, size=100 << 10),
            programs=self._programs.tally(names=2000, size=80 << 10),
            messages=self._messages.tally(names=2000, size=300 << 10),
            warnings=self._warnings.tally(names=1000, size=150 << 10),
            bad=self._bad.tally(names=200, size=40 << 10),
        )


class _Column:
    """What lines have under a field's name, and what that means; nothing, as empty bytes, if they have none."""

    def __init__(self, field: str, log: Format, meaning: Callable[[bytes], bytes] = bytes) -> None:
        self._name = field
        self._meaning: Callable[[bytes], bytes] = meaning
        columns = log.columns
        if columns is None or field in columns:
            return
        if alias := next((name for name in ALIASES.get(field, ()) if name in columns), None):
            self._name = alias
        elif field in PARTS:
            self._name = PARTS[field][0]
            self._meaning = lambda whole: meaning(value_of(field, whole) or b"")

    def of(self, records: Sequence[Record]) -> list[bytes]:
        """Return it for each line."""
        values = [record.get(self._name) for record in records]
        meant = {value: self._meaning(value) if value else b"" for value in set(values)}
        return [meant[value] for value in values]


class _Names:
    """Counts of names in bounded memory; the empty name is none."""

    def __init__(self) -> None:
        self.counts: Counter[bytes] = Counter()
        self._missed = 0

    def add(self, counts: Mapping[bytes, int]) -> None:
        self.counts.update(counts)
        self.trim()

    def trim(self) -> None:
        """Keep to the bound."""
        del self.counts[b""]
        self._missed += trim(self.counts, MOST_NAMES)

    def tally(self, *, names: int, size: int) -> Tally:
        shown: Counter[str] = Counter()
        for name, hits in self.counts.items():
            shown[text(name)] += hits
        return Tally.of(shown, missed=self._missed, names=names, size=size)


def _cut(name: bytes) -> bytes:
    return name[:_LONGEST]


def _first_line(message: bytes) -> bytes:
    return message.strip().partition(b"\n")[0][:_READ]


@lru_cache(maxsize=4096)
def _is_warning(message: bytes) -> bool:
    return _WORDS.search(message) is not None
