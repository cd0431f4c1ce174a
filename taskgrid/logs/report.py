"""Shows a summary to people: plain text tables, no wider than a terminal. What is shown, the page shows too.

Knows nothing of where the summary came from.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final, NamedTuple

from taskgrid.logs.over_time import over_time
from taskgrid.logs.severities import SEVERITIES, WORST, rank
from taskgrid.logs.summary import AccessSummary, LogSummary
from taskgrid.merging import Tally

__all__: list[str] = []  # made for people who look, not for workers to offer

_WIDTH: Final = 60
_BAR: Final = 42
_SPANS: Final = 24
_LINES: Final = 3
"""Of a text that is wrapped."""


class Table(NamedTuple):
    """Names and how often they occur, in order."""

    title: str
    rows: list[tuple[str, int]]
    bad: frozenset[str] = frozenset()
    """Names that are bad news."""
    is_text: bool = False
    """Whether names are whole lines of a log, which need room."""


def render(summary: AccessSummary, *, top: int = 10) -> str:
    """Return the summary as text: totals, lines over time, and the `top` of everything else."""
    sections = (totals(summary), _plot(summary), *(_shown(table) for table in tables(summary, top)))
    return "\n\n".join(section for section in sections if section)


def tables(summary: AccessSummary, top: int) -> Iterator[Table]:
    """Yield what a summary ranks, and all statuses and severities; not what it has nothing of."""
    yield from (table for table in (*_of_requests(summary, top), *_of_messages(summary, top)) if table.rows)


def size(count: int) -> str:
    """Return a number of bytes as people write it, as `1.4 GB`."""
    if count < 1000:
        return f"{count} B"
    number = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        number /= 1000
        if number < 999.5:
            return f"{number:.3g} {unit}"
    return f"{number / 1000:,.3g} PB"


def totals(summary: AccessSummary) -> str:
    """Return what a summary begins with; lines end where a space may."""
    size_ = summary.size if isinstance(summary, LogSummary) else 0
    parts = [
        f"{summary.lines:,} lines in {summary.files:,} file{'s' * (summary.files != 1)}, {summary.bad_lines:,} bad",
        f"{size(summary.bytes)} sent to clients" if summary.statuses or not size_ else "",
        size(size_) + (" of messages" if summary.statuses else "") if size_ else "",
    ]
    return "; ".join(part for part in parts if part) + _period(summary)


def plot_title(summary: AccessSummary, hours: int, zone: str) -> str:
    """Return what stands over lines over time."""
    what = "Lines" if isinstance(summary, LogSummary) and summary.size else "Hits"
    return f"{what} by {_span_name(hours)}{f', times {zone}' if zone else ''}"


def _period(summary: AccessSummary) -> str:
    if not isinstance(summary, LogSummary) or not summary.period.first:
        return ""
    first, last = (time.removeprefix("--").replace("T", " ") for time in (summary.period.first, summary.period.last))
    of_all = "" if summary.statuses else ","
    return f"{of_all}\nfrom {first} to {last}"


def _of_requests(summary: AccessSummary, top: int) -> Iterator[Table]:
    bad = frozenset(_status_name(code) for code in summary.statuses if code >= HTTPStatus.BAD_REQUEST)
    yield Table("Statuses", [(_status_name(code), hits) for code, hits in sorted(summary.statuses.items())], bad)
    yield _ranked("Methods", summary.methods, top)
    yield _ranked("Paths", summary.paths, top)
    yield _ranked("Clients", summary.clients, top)
    yield _ranked("Errors", summary.errors, top)
    yield _ranked("Agents", summary.agents, top)
    yield _ranked("Referrers", summary.referrers, top)


def _of_messages(summary: AccessSummary, top: int) -> Iterator[Table]:
    if not isinstance(summary, LogSummary):
        return
    yield _severities(summary.severities, top)
    yield _ranked("Facilities", summary.facilities, top)
    yield _ranked("Errors and warnings", summary.warnings, top, is_text=True)
    yield _ranked("Messages", summary.messages, top, is_text=True)
    yield _ranked("Programs", summary.programs, top)
    yield _ranked("Hosts", summary.hosts, top)
    yield _ranked("Bad lines", summary.bad, top, is_text=True)


def _severities(tally: Tally, top: int) -> Table:
    """Return those that syslog knows, and the most frequent of others."""
    known = {name: hits for name, hits in tally.counts.items() if name.encode() in SEVERITIES}
    others = [(name, hits) for name, hits in tally.top(top + len(known)) if name not in known][:top]
    rows = sorted([*known.items(), *others], key=lambda row: rank(row[0]))
    return Table(_heading("Severities", tally, top), rows, frozenset(name.decode() for name in WORST))


def _ranked(title: str, tally: Tally, top: int, *, is_text: bool = False) -> Table:
    return Table(_heading(title, tally, top), tally.top(top), is_text=is_text)


def _status_name(code: int) -> str:
    """Return a status as people know it, as `404 Not Found`."""
    return f"{code} {HTTPStatus(code).phrase}" if code in HTTPStatus._value2member_map_ else str(code)


def _heading(title: str, tally: Tally, top: int) -> str:
    """Return a title that says how sure the ranks below it are."""
    if not tally.missed:
        return title
    sure = "surely these" if tally.certain(top) else "perhaps not these"
    return f"{title} (each may have up to {tally.missed:,} more; {sure})"


def _span_name(hours: int) -> str:
    """Return a span of a plot in words, as `2 hours` or `day`."""
    if hours % 24:
        return "hour" if hours == 1 else f"{hours} hours"
    return "day" if hours == 24 else f"{hours // 24} days"


def _shown(table: Table) -> str:
    lines = [_row(name, hits, is_text=table.is_text) for name, hits in table.rows]
    return "\n".join([table.title, *lines])


def _row(name: str, hits: int, *, is_text: bool) -> str:
    if not is_text:
        return f"  {short(name):<{_WIDTH}} {hits:>13,}"
    whole = short(name, _LINES * _WIDTH)
    wrapper = textwrap.TextWrapper(_WIDTH, subsequent_indent="    ", break_on_hyphens=False, max_lines=_LINES)
    first, *more = wrapper.wrap(whole) or [""]
    return "\n".join([f"  {first:<{_WIDTH}} {hits:>13,}", *(f"  {line}" for line in more)])


def _plot(summary: AccessSummary) -> str:
    series = over_time(summary.hours.counts, _SPANS)
    if series is None:
        return ""
    most = max(span.hits for span in series.spans)
    lines = [
        f"  {span.label:<16}  {'#' * round(_BAR * span.hits / most):<{_BAR}} {span.hits:>13,}" for span in series.spans
    ]
    return "\n".join([plot_title(summary, series.hours, series.zone), *lines])


def short(name: str, width: int = _WIDTH) -> str:
    """Return what a log says as a terminal may show it: without control characters, and not too long."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    return shown if len(shown) <= width else shown[: width - 3] + "..."
