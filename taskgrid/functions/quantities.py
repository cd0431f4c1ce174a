"""Durations and sizes as people write them: `90s`, `1h30m`, `512MB`, `2GiB`.

Knows units, and nothing of what the numbers are for.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from taskgrid.errors import UsageError

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {
    "b": 1,
    "k": 1000,
    "kb": 1000,
    "m": 1000**2,
    "mb": 1000**2,
    "g": 1000**3,
    "gb": 1000**3,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tb": 1000**4,
    "tib": 1 << 40,
}
_NUMBER: Final = re.compile(r"\s*\d+(?:\.\d+)?\s*")
_PIECE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


def duration(value: timedelta | float | str) -> timedelta:
    """Return a duration given as such, as seconds, or as text (`90s`, `1h30m`); UsageError if it is none."""
    if isinstance(value, timedelta):
        span = value
    else:
        seconds = _sum(value, _SECONDS, "a duration", "90s, 15m or 1h30m") if isinstance(value, str) else value
        if not 0 < seconds < timedelta.max.total_seconds():
            raise UsageError(f"a duration can't be {value!r}", hint="It is longer than nothing, and ends.")
        span = timedelta(seconds=seconds)
    if span <= timedelta(0):
        raise UsageError(f"a duration can't be {value!r}", hint="It is longer than nothing.")
    return span


def size(value: int | str) -> int:
    """Return a number of bytes given as such or as text (`512MB`, `2GiB`); UsageError if it is none."""
    if isinstance(value, int):
        return value
    return round(_sum(value, _BYTES, "a size", "512MB or 2GiB"))


def parse_duration(text: str) -> timedelta:
    """Read a duration from a flag or a file, where a bare number is seconds. Raises `UsageError`."""
    return timedelta(seconds=float(text)) if _NUMBER.fullmatch(text) else duration(text)


def parse_size(text: str) -> int:
    """Read a size from a flag or a file, where a bare number is bytes. Raises `UsageError`."""
    return int(text) if text.strip().isdigit() else size(text)


def _sum(text: str, units: dict[str, float] | dict[str, int], kind: str, examples: str) -> float:
    rest = text.strip().lower()
    pieces = _PIECE.findall(rest)
    if not pieces or _PIECE.sub("", rest) or any(unit not in units for _, unit in pieces):
        raise UsageError(f"{text!r} is not {kind}", hint=f"Write it like {examples}.")
    return float(sum(float(number) * units[unit] for number, unit in pieces))
