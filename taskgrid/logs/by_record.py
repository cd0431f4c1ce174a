"""Counts what a summary needs line by line, for formats that have requests but are not the servers' own.

Knows the standard names of fields, and nothing of summaries.
"""

from __future__ import annotations

from taskgrid.lines.columns import ERROR, ColumnCounts
from taskgrid.logs.fields import value_of
from taskgrid.logs.formats import Format, Record, split, status_of

__all__: list[str] = []  # made for other modules, not for workers to offer

_MOST_DIGITS = 20
"""Of a size: a longer number is none."""


class RecordColumns(ColumnCounts):
    """Counts the columns of lines that are read one by one."""

    def __init__(self, log: Format) -> None:
        """Take the lines' format."""
        super().__init__()
        self._log = log

    def add(self, block: bytes) -> None:
        """Count a block of whole lines."""
        lines = split(block)
        self.lines += len(lines)
        for line in lines:
            record = self._log.read(line)
            if record is not None and (status := status_of(record)):
                self._take(record, status)

    def _take(self, record: Record, status: bytes) -> None:
        request = record.get("request") or b"%b %b" % (record.get("method") or b"-", record.get("path") or b"-")
        size = record.get("bytes") or b""
        self.good += 1
        self.size += int(size) if size.isdigit() and len(size) < _MOST_DIGITS else 0
        self.statuses[status] += 1
        self.requests[request] += 1
        self.clients[record.get("client") or b"-"] += 1
        self.hits[value_of("hour", record.get("time") or b"") or b"-"] += 1
        self.referrers[record.get("referrer") or b"-"] += 1
        self.agents[record.get("agent") or b"-"] += 1
        if status >= ERROR:
            self.errors[b"%b %b" % (status, request)] += 1
