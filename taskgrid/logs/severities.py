"""The severities and facilities of syslog, and what else calls its levels by other names.

RFC 5424, 6.2.1. Programs that know no syslog have levels of their own; those that plainly are one of
syslog's eight count as that, so that one table holds them all. What is none of these stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__: list[str] = []  # made for other modules, not for workers to offer

SEVERITIES: Final = (b"emerg", b"alert", b"crit", b"err", b"warning", b"notice", b"info", b"debug")
"""From worst to least."""
WORST: Final = frozenset(SEVERITIES[:5])
"""Warnings, and what is worse."""
_LONGEST: Final = 40
"""Bytes of another name that are kept."""

_OTHERS: Final[Mapping[bytes, tuple[bytes, ...]]] = {
    b"emerg": (b"0", b"emergency", b"panic"),
    b"alert": (b"1",),
    b"crit": (b"2", b"critical", b"fatal", b"f", b"60"),
    b"err": (b"3", b"error", b"e", b"50", b"severe"),
    b"warning": (b"4", b"warn", b"w", b"40"),
    b"notice": (b"5", b"note", b"n"),
    b"info": (b"6", b"information", b"informational", b"i", b"30"),
    b"debug": (b"7", b"trace", b"verbose", b"d", b"10", b"20"),
}
"""Numbers up to 7 are syslog's, from 10 on those of bunyan and pino."""
_NAMES: Final = {other: name for name, others in _OTHERS.items() for other in (name, *others)}

_FACILITIES: Final = (
    *(b"kern", b"user", b"mail", b"daemon", b"auth", b"syslog", b"lpr", b"news", b"uucp", b"cron", b"authpriv", b"ftp"),
    *(b"ntp", b"audit", b"alert", b"clock"),
    *(b"local%d" % number for number in range(8)),
)


def severity_name(level: bytes) -> bytes:
    """Return a level by syslog's name; as it is, in small letters, if it is none of syslog's."""
    small = level.strip().lower()
    return _NAMES.get(small) or small[:_LONGEST]


def facility_name(facility: bytes) -> bytes:
    """Return a facility by its name; as it is if it is no number of one."""
    if facility.isdigit() and int(facility[:_LONGEST]) < len(_FACILITIES):
        return _FACILITIES[int(facility[:_LONGEST])]
    return facility[:_LONGEST]


def rank(severity: str) -> tuple[int, str]:
    """Return what severities are ordered by: the worst first, those of no rank last."""
    name = severity.encode()
    return (SEVERITIES.index(name) if name in SEVERITIES else len(SEVERITIES), severity)
