"""Shows an access log summary to people: plain text tables, no wider than a terminal.

Knows nothing of where the summary came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final

from taskgrid.logs.over_time import over_time
from taskgrid.logs.summary import AccessSummary
from taskgrid.merging import Tally

__all__: list[str] = []  # made for people who look, not for workers to offer

_WIDTH: Final = 60
_BAR: Final = 42
_SPANS: Final = 24


def render(summary: AccessSummary, *, top: int = 10) -> str:
    """Return the summary as text: totals, hits over time, statuses, and the `top` of everything else."""
    sections = (
        totals(summary),
        _plot(summary.hours),
        _table("Statuses", ((status_name(code), hits) for code, hits in sorted(summary.statuses.items()))),
        *(_table(heading(title, tally, top), tally.top(top)) for title, tally in tallies(summary)),
    )
    return "\n\n".join(section for section in sections if section)


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
    """Return the first line of a summary."""
    return (
        f"{summary.lines:,} lines in {summary.files:,} file{'s' * (summary.files != 1)}, {summary.bad_lines:,} bad; "
        f"{size(summary.bytes)} sent to clients"
    )


def status_name(code: int) -> str:
    """Return a status as people know it, as `404 Not Found`."""
    return f"{code} {HTTPStatus(code).phrase}" if code in HTTPStatus._value2member_map_ else str(code)


def tallies(summary: AccessSummary) -> Iterator[tuple[str, Tally]]:
    """Yield what a summary ranks, each with its title."""
    yield "Methods", summary.methods
    yield "Paths", summary.paths
    yield "Clients", summary.clients
    yield "Errors", summary.errors
    yield "Agents", summary.agents
    yield "Referrers", summary.referrers


def heading(title: str, tally: Tally, top: int) -> str:
    """Return a title that says how sure the ranks below it are."""
    if not tally.missed:
        return title
    sure = "surely these" if tally.certain(top) else "perhaps not these"
    return f"{title} (each may have up to {tally.missed:,} more; {sure})"


def span_name(hours: int) -> str:
    """Return a span of a plot in words, as `2 hours` or `day`."""
    if hours % 24:
        return "hour" if hours == 1 else f"{hours} hours"
    return "day" if hours == 24 else f"{hours // 24} days"


def _table(title: str, rows: Iterable[tuple[str, int]]) -> str:
    lines = [f"  {short(name):<{_WIDTH}} {hits:>13,}" for name, hits in rows]
    return "\n".join([title, *lines]) if lines else ""


def _plot(hours: Tally) -> str:
    series = over_time(hours.counts, _SPANS)
    if series is None:
        return ""
    most = max(span.hits for span in series.spans)
    zone = f", times {series.zone}" if series.zone else ""
    lines = [
        f"  {span.label:<16}  {'#' * round(_BAR * span.hits / most):<{_BAR}} {span.hits:>13,}" for span in series.spans
    ]
    return "\n".join([f"Hits by {span_name(series.hours)}{zone}", *lines])


def short(name: str, width: int = _WIDTH) -> str:
    """Return what a log says as a terminal may show it: without control characters, and not too long."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    return shown if len(shown) <= width else shown[: width - 3] + "..."
