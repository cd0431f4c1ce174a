r"""Says what a line of an access log is: one regular expression, with the columns that are asked for.

A good line must *begin* as the common log format does; what follows is looked at only for a quoted
referrer and agent, so the combined format and longer ones are read too. Quoted columns hold
whatever their writer escaped: Apache writes \" for a quote in a request. No part matches a newline,
so that a pattern can be run over a whole block, and finds in it what it finds line by line.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

DIGITS: Final = 18
"""Digits of a size at most: no file is larger, and nobody's totals overflow."""
HOUR: Final = rb"(?:0[1-9]|[12]\d|3[01])/(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/\d{4}:(?:[01]\d|2[0-3])"
ZONE: Final = rb"[+-]\d{4}"
COLUMNS: Final = ("client", "identity", "user", "time", "request", "status", "bytes", "referrer", "agent", "extra")

_QUOTED: Final = rb'[^"\\\n]*(?:\\.[^"\\\n]*)*'
_ADDRESS: Final = rb"(?=[^ \n]*[.:])[0-9A-Fa-f.:]+"
_LINE: Final = (
    rb"^(?P<client>[^ \n]+) (?P<identity>[^ \n]*) (?P<user>[^\n]*?) ?\[(?P<time>%b[^ \n]* %b)\] " % (HOUR, ZONE)
    + rb'"(?P<request>%b)" (?P<status>\d{3}) (?P<bytes>\d{1,%d}|-)(?![^ \r\n])' % (_QUOTED, DIGITS)
    + rb'(?: "(?P<referrer>%b)" "(?P<agent>%b)")?' % (_QUOTED, _QUOTED)
    + rb"(?: (?P<extra>[^\r\n]+))?"
)
_WITH_HOST: Final = _LINE.replace(rb"^(?P<client>[^ \n]+) ", rb"^(?P<host>[^ \n]+) (?P<client>%b) " % _ADDRESS)
_GROUP: Final = re.compile(rb"\(\?P<(\w+)>")


@lru_cache(maxsize=64)
def access(columns: Collection[str] = COLUMNS, *, host: bool = False) -> re.Pattern[bytes]:
    """Return the pattern of a line, in which these columns are groups; `host`: the virtual host stands first."""

    def named_if_wanted(group: re.Match[bytes]) -> bytes:
        return group[0] if group[1].decode() in columns else b"(?:"

    line = _WITH_HOST if host else _LINE
    if "extra" not in columns:  # nothing that makes a line good
        line = line[: line.index(b"(?: (?P<extra>")]
    return re.compile(_GROUP.sub(named_if_wanted, line), re.MULTILINE)
