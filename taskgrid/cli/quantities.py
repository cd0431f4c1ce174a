"""Durations and counts at the terminal: how they are shown. They are read by `functions/quantities.py`."""

from __future__ import annotations


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
