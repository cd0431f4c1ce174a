"""Figures: what was measured, beside what was to be reached, as a table for people and as JSON.

A figure is the median of its runs. It knows nothing of how they were measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

NOT_INSTALLED = "not installed"
_WIDTHS = (62, 14, 12, 5)


class Target(NamedTuple):
    """What is to be reached: at least, or at most, that much."""

    bound: float
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        """Say whether a value will do."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {number(self.bound)}"


def at_least(bound: float) -> Target:
    """Make a target that is reached from below."""
    return Target(bound, at_least=True)


def at_most(bound: float) -> Target:
    """Make a target that is a ceiling."""
    return Target(bound)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    group: str
    name: str
    unit: str
    runs: tuple[float, ...] = ()
    target: Target | None = None
    remark: str = ""
    """What was measured how, or why there is no value."""

    @property
    def value(self) -> float | None:
        """The median of the runs."""
        return median(self.runs) if self.runs else None

    @property
    def verdict(self) -> str:
        """Say `ok` or `MISS`; empty without a target or a value."""
        if self.target is None or self.value is None:
            return ""
        return "ok" if self.target.is_met(self.value) else "MISS"

    def as_row(self) -> str:
        """Return a line of the table."""
        value = self.remark if self.value is None else f"{number(self.value)} {self.unit}"
        wide, value_wide, target_wide, verdict_wide = _WIDTHS
        cells = f"{self.name:<{wide}} {value:>{value_wide}} {self.target or ''!s:>{target_wide}} {self.verdict:>4}"
        return (
            f"{cells:<{wide + value_wide + target_wide + verdict_wide + 3}} {self.remark if self.runs else ''}".rstrip()
        )

    def as_json(self) -> dict[str, Any]:
        """Return what the results' file keeps."""
        return {
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "runs": list(self.runs),
            "target": str(self.target) if self.target else None,
            "verdict": self.verdict or None,
            "remark": self.remark or None,
        }


def number(value: float) -> str:
    """Write a number with about three digits that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.2g}"


def heading() -> str:
    """Return the table's first line."""
    wide, value_wide, target_wide, verdict_wide = _WIDTHS
    return f"{'figure':<{wide}} {'measured':>{value_wide}} {'target':>{target_wide}} {'':>{verdict_wide - 1}}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


Measure = Callable[[], Iterable[Figure]]
