"""Shows an access log summary to people: plain text tables, no wider than a terminal.

Knows nothing of where the summary came from.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from taskgrid.logs.summary import AccessSummary
from taskgrid.merging import Tally

__all__: list[str] = []  # made for people who look, not for workers to offer

_WIDTH: Final = 60
_BAR: Final = 24


def render(summary: AccessSummary, *, top: int = 10) -> str:
    """Return the summary as text: totals, statuses, methods, the `top` paths and clients, hits by hour of day."""
    sections = (
        _totals(summary),
        _table("Statuses", ((_status(code), hits) for code, hits in sorted(summary.statuses.items()))),
        _tally("Methods", summary.methods, top),
        _tally("Paths", summary.paths, top),
        _tally("Clients", summary.clients, top),
        _tally("Errors", summary.errors, top),
        _tally("Agents", summary.agents, top),
        _tally("Referrers", summary.referrers, top),
        _hours(summary.hours),
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


def _totals(summary: AccessSummary) -> str:
    return (
        f"{summary.lines:,} lines in {summary.files:,} files, {summary.bad_lines:,} bad; "
        f"{size(summary.bytes)} sent to clients"
    )


def _status(code: int) -> str:
    return f"{code} {HTTPStatus(code).phrase}" if code in HTTPStatus._value2member_map_ else str(code)


def _tally(title: str, tally: Tally, top: int) -> str:
    if tally.missed:
        sure = "surely these" if tally.certain(top) else "perhaps not these"
        title += f" (each may have up to {tally.missed:,} more; {sure})"
    return _table(title, tally.top(top))


def _table(title: str, rows: Iterable[tuple[str, int]]) -> str:
    lines = [f"  {_short(name):<{_WIDTH}} {hits:>13,}" for name, hits in rows]
    return "\n".join([title, *lines]) if lines else ""


def _hours(hours: Tally) -> str:
    by_hour = [0] * 24
    for stamp, hits in hours.counts.items():
        by_hour[int(stamp[11:13])] += hits
    most = max(by_hour)
    if not most:
        return ""
    lines = [
        f"  {hour:02}:00  {'#' * round(_BAR * hits / most):<{_BAR}} {hits:>13,}" for hour, hits in enumerate(by_hour)
    ]
    return "\n".join([f"Hits by hour of day ({len(hours.counts):,} hours in the log)", *lines])


def _short(name: str) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in name)
    return shown if len(shown) <= _WIDTH else shown[: _WIDTH - 3] + "..."
