"""Durations, sizes and counts at the terminal: how they are read, and how they are shown.

`30`, `30s`, `1h30m`, `7d` are durations; `500MB`, `2GiB`, `1048576` are sizes. What units there are
`functions/quantities.py` decides; here a bare number, as every shell script writes it, is seconds or
bytes. Knows no command and no settings model.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_NUMBER: Final = re.compile(r"\s*\d+(?:\.\d+)?\s*")


def parse_duration(text: str) -> timedelta:
    """Read a duration; a bare number is seconds. Raises `UsageError`."""
    from taskgrid.functions.quantities import duration

    return timedelta(seconds=float(text)) if _NUMBER.fullmatch(text) else duration(text)


def parse_size(text: str) -> int:
    """Read a size; a bare number is bytes. Raises `UsageError`."""
    from taskgrid.functions.quantities import size

    return int(text) if text.strip().isdigit() else size(text)


def show_duration(seconds: float) -> str:
    """Write seconds in at most two units, as `850ms`, `12s`, `3m05s`, `2h10m`, `4d03h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def show_count(count: float) -> str:
    """Write a number with thousands set apart, as `1,234,567`."""
    return f"{count:,.0f}"
