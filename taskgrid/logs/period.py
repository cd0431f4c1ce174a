"""From when to when: the first and the last of a log's times, the same however it was split.

Times are compared as instants. Those without a year can't be, with those that have one: they count only
where no line has a year, and then as if all were of one. A time that can't be (the 31st of April) is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from pydantic import BaseModel, ConfigDict

from taskgrid.logs.fields import Moment, text
from taskgrid.logs.over_time import hour_of

__all__: list[str] = []  # made for other modules, not for workers to offer

_Key = tuple[bool, datetime, str]
_HOUR: Final = len("T00")


class Period(BaseModel):
    """The first and the last time, as `2015-05-17T10:05:03+0000`; a syslog's as `--12-10T06:55:46`."""

    model_config = ConfigDict(frozen=True)

    first: str = ""
    """Empty if no line has a time."""
    last: str = ""

    @classmethod
    def of(cls, times: Iterable[str]) -> Period:
        """Return the period of some times."""
        found = [key for time in times if (key := _key(time))]
        if not found:
            return cls()
        dated = [key for key in found if key[0]] or found
        return cls(first=min(dated)[2], last=max(dated)[2])

    @classmethod
    def merge(cls, parts: Iterable[Period]) -> Period:
        """Return the period of all."""
        return cls.of({time for part in parts for time in (part.first, part.last) if time})


class Extremes:
    """The first and the last time of each zone, while a log is read: within one, texts are in the order of times."""

    def __init__(self) -> None:
        self._of: dict[tuple[bool, bytes], tuple[bytes, bytes]] = {}

    def add(self, moments: Iterable[Moment]) -> None:
        """Look at times."""
        for moment in moments:
            if moment.minute > b"59" or moment.second > b"60" or not _can_be(b"%bT%b%b" % (*moment[:2], moment.zone)):
                continue
            time = b"%bT%b:%b:%b%b" % moment
            zone = (moment.day.startswith(b"-"), moment.zone)
            first, last = self._of.get(zone, (time, time))
            self._of[zone] = (min(first, time), max(last, time))

    def period(self) -> Period:
        """Return them of all zones."""
        return Period.of({text(time) for both in self._of.values() for time in both})


@lru_cache(maxsize=4096)
def _can_be(hour: bytes) -> bool:
    return hour_of(text(hour)) is not None


def _key(time: str) -> _Key | None:
    """Return what a time is compared by: whether it has a year, the instant, and how it is written."""
    at = time.find("T") + _HOUR
    hour = hour_of(time[:at] + time[at + len(":00:00") :])
    if hour is None:
        return None
    return not time.startswith("-"), hour + _within(time[at:]), time


def _within(clock: str) -> timedelta:
    return timedelta(minutes=int(clock[1:3]), seconds=int(clock[4:6]))  # 60 is a leap second
