r"""Reads access log lines many at a time with numpy: what is sure at a glance, and what is not.

A line is sure if it stands as most lines do around the two quotes of its request:

    203.0.113.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 512 "-" "curl/8.5.0"
               |---- 35 bytes, of one form -----|               |- up to 15 -|

The 40 bytes before a request and the 16 after it are fetched for all lines at once and checked as
words of 8 bytes. Dates repeat, so a regular expression looks at one only where it differs from that
of the line before. All other lines (users with names, escapes, sizes of more than 7 digits, junk)
are returned as they are, for the exact way. Values are counted by Arrow, which makes a Python object
of the distinct ones only. Needs numpy and pyarrow, the `logs` extra; knows no summary.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taskgrid.lines.marks import Marks, Positions, Words, lowest
from taskgrid.lines.patterns import HOUR, ZONE

COLUMNS: Final = frozenset({"client", "time", "hour", "request", "status", "bytes", "referrer", "agent"})
"""What can be read this way."""

Sure = NDArray[np.bool_]
Span = tuple[Positions, int, Positions, int]
"""Where the values of a column begin and end: each as positions, and so many bytes after them."""

_BEFORE: Final = 40
"""Bytes fetched that end with a request's first quote."""
_AFTER: Final = 16
"""Bytes fetched that begin with the one before a request's last quote."""
_SMALLEST: Final = 64
"""Bytes of a block that are worth it, and can hold what is fetched."""
_DATE: Final = re.compile(rb'(%b).{6} (%b)\] "' % (HOUR, ZONE), re.DOTALL)
_FIRST_ERROR: Final = 400


class _Shape(NamedTuple):
    """What 8 bytes must be: these bytes, and digits where it says 0; anything where it says ?."""

    bits: np.uint64
    mask: np.uint64
    digits: np.uint64

    @classmethod
    def of(cls, form: bytes) -> _Shape:
        def word(value: bytes) -> np.uint64:
            return np.uint64(int.from_bytes(value, "little"))

        fixed = bytes(0 if byte in b"0?" else 0xFF for byte in form)
        return cls(
            word(bytes(byte & mask for byte, mask in zip(form, fixed, strict=True))),
            word(fixed),
            word(bytes(0x80 if byte in b"0" else 0 for byte in form)),
        )

    def faults(self, words: Words) -> Words:
        """Return zero for each word of this shape."""
        found = words ^ self.bits
        found &= self.mask
        if self.digits:
            found |= _no_digits(words) & self.digits
        return found


_USER: Final = _Shape.of(b"????? - "), _Shape.of(b"- [?????")
_MINUTE: Final = _Shape.of(b"?:00:00 ")
_STATUS: Final = _Shape.of(b'?" 000 ?')
_BACKSLASH: Final = ord("\\")
_WORD: Final = np.dtype("<u8")
_ZEROS: Final = np.uint64(int.from_bytes(b"0" * 8, "little"))
_LOW: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
_CARRY: Final = np.uint64(0x7676767676767676)
_HIGH: Final = np.uint64(0x8080808080808080)
_BYTE: Final = np.uint64(0xFF)


def read(block: bytes, columns: Collection[str]) -> tuple[int, Lines | None, bytes]:
    """Return the number of lines, the sure ones with these columns, and the text of all others."""
    if len(block) < _SMALLEST or sys.byteorder == "big":
        return block.count(b"\n"), None, block
    marks = Marks(block)
    end = marks.newlines()
    start = np.concatenate((np.zeros(1, np.int64), end[:-1] + 1))
    opened = marks.quote_from(start)
    closed = marks.quote_from(opened + 1)
    sure, dates = _heads(block, start, opened)
    tails = _Tails(block, closed)
    sure &= tails.sure
    sure &= closed < end
    spans: dict[str, Span] = {
        "client": (start, 0, opened, -34),
        "time": (opened, -28, opened, -2),
        "request": (opened, 1, closed, 0),
        "bytes": (closed, 6, tails.stop, 0),
    }
    if "referrer" in columns or "agent" in columns:
        more, named = _named(block, marks, tails.stop, end)
        sure &= named
        spans |= more
    return len(end), Lines(block, sure, spans, tails, dates), _rest(block, sure, start, end)


class Lines:
    """The sure lines of a block."""

    def __init__(self, block: bytes, sure: Sure, spans: Mapping[str, Span], tails: _Tails, dates: _Dates) -> None:
        self._block = block
        self._sure = np.flatnonzero(sure)
        self._spans = spans
        self._tails = tails
        self._hours = dates, sure
        self.good = len(self._sure)

    def counts(self, column: str) -> Mapping[bytes, int]:
        """Count a column."""
        if column == "status":
            codes = np.bincount(self._tails.codes()[self._sure], minlength=1000)
            return {b"%03d" % code: int(codes[code]) for code in np.flatnonzero(codes)}
        if column == "hour":
            dates, sure = self._hours
            return dates.hours(sure)
        found = _counted(self._block, *self._places(column, self._sure))
        return _first_words(found) if column == "client" else found

    def size(self) -> int:
        """Add up the sizes."""
        return int(self._tails.sizes()[self._sure].sum())

    def errors(self) -> Iterable[bytes]:
        """Pair errors with their requests."""
        codes = self._tails.codes()
        failed = self._sure[codes[self._sure] >= _FIRST_ERROR]
        first, stop = (places.tolist() for places in self._places("request", failed))
        rows = zip(codes[failed].tolist(), first, stop, strict=True)
        return [b"%03d %b" % (code, self._block[start:end]) for code, start, end in rows]

    def _places(self, column: str, lines: Positions) -> tuple[Positions, Positions]:
        """Return where a column's values begin and end, of those lines that have it."""
        begin, after, end, further = self._spans[column]
        first, stop = begin[lines] + after, end[lines] + further
        there = stop >= 0
        return (first, stop) if there.all() else (first[there], stop[there])


class _Dates:
    """The date, hour and zone of lines, found once for each run of lines that have the same."""

    def __init__(self, block: bytes, opened: Positions, words: Words) -> None:
        differs = words[1][1:] ^ words[1][:-1]
        differs |= words[2][1:] ^ words[2][:-1]
        differs |= (words[3][1:] ^ words[3][:-1]) & _BYTE
        differs |= words[4][1:] ^ words[4][:-1]
        self._runs = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(differs) + 1))
        found = [_DATE.match(block, max(0, first)) for first in (opened[self._runs] - 28).tolist()]
        self._found = [match and match[1] + match[2] for match in found]

    def unsure(self) -> Iterable[slice]:
        """Yield the runs whose date is none."""
        stops = [*self._runs[1:].tolist(), None]
        runs = zip(self._found, self._runs.tolist(), stops, strict=True)
        return (slice(start, stop) for found, start, stop in runs if found is None)

    def hours(self, sure: Sure) -> Counter[bytes]:
        """Count the sure lines by hour and zone."""
        hours: Counter[bytes] = Counter()
        counts = np.add.reduceat(sure, self._runs, dtype=np.int64).tolist()
        for hour, count in zip(self._found, counts, strict=True):
            if hour is not None and count:
                hours[hour] += count
        return hours


def _heads(block: bytes, start: Positions, opened: Positions) -> tuple[Sure, _Dates]:
    """Check what comes before the requests."""
    at = opened - (_BEFORE - 1)
    words = _fetched(block, at, _BEFORE)
    faults = _USER[0].faults(words[0])
    faults |= _USER[1].faults(words[1])
    faults |= _MINUTE.faults(words[3])
    sure = faults == 0
    sure &= at >= 0
    sure &= np.frombuffer(block, np.uint8)[start] != ord(" ")  # so the client has a character
    dates = _Dates(block, opened, words)
    for run in dates.unsure():
        sure[run] = False
    return sure, dates


class _Tails:
    """What comes after the requests: status, size, and where the size ends."""

    def __init__(self, block: bytes, closed: Positions) -> None:
        self._status, further = _fetched(block, closed - 1, _AFTER)
        self._size = (self._status >> np.uint64(56)) | (further << np.uint64(8))
        self._dash = (self._size & _BYTE) == ord("-")
        self._bits = (lowest(_no_digits(self._size)) & 0x78) + 8 * self._dash.astype(np.uint8)
        after = (self._size >> self._bits) & _BYTE
        self.stop = closed + 6 + (self._bits >> 3)
        self.sure = (after == ord(" ")) | (after == ord("\n")) | (after == ord("\r"))
        self.sure &= (self._bits > 0) & (self._bits < 64)
        self.sure &= _STATUS.faults(self._status) == 0
        self.sure &= (self._status & _BYTE) != _BACKSLASH  # before it: an escaped quote is not the last
        self.sure &= closed - 1 <= len(block) - _AFTER

    def codes(self) -> Positions:
        """Return the statuses as numbers."""
        digits = (self._status >> np.uint64(24)) & np.uint64(0x0F0F0F)
        codes: Words = (digits & _BYTE) * 100 + ((digits >> np.uint64(8)) & _BYTE) * 10 + (digits >> np.uint64(16))
        return codes.view(np.int64)

    def sizes(self) -> Words:
        """Return the sizes as numbers: the digits, moved to a word's end, added up two, four and eight at a time."""
        digits = (self._size << (64 - self._bits).astype(np.uint64)) & np.uint64(0x0F0F0F0F0F0F0F0F)
        digits = (digits * 10 + (digits >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
        digits = (digits * 100 + (digits >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
        digits = (digits * 10000 + (digits >> np.uint64(32))) & np.uint64(0x00000000FFFFFFFF)
        return np.where(self._dash, np.uint64(0), digits)


def _named(block: bytes, marks: Marks, stop: Positions, end: Positions) -> tuple[Mapping[str, Span], Sure]:
    """Find referrers and agents; sure are lines that have both, and lines that end before."""
    data = np.frombuffer(block, np.uint8)
    referrer = stop + 2
    between = marks.quote_from(referrer)
    agent = between + 3
    last = marks.quote_from(agent)
    there = _has(data, stop, b' "') & _has(data, between, b'" "') & (last < end)
    for quote in (between, last):
        there &= data[np.minimum(quote, len(data)) - 1] != _BACKSLASH
    none = (stop == end) | ((stop + 1 == end) & _has(data, stop, b"\r"))
    spans: dict[str, Span] = {
        "referrer": (referrer, 0, np.where(there, between, -1), 0),
        "agent": (agent, 0, np.where(there, last, -1), 0),
    }
    return spans, there | none


def _has(data: NDArray[np.uint8], at: Positions, text: bytes) -> Sure:
    sure = at <= len(data) - len(text)
    at = np.minimum(at, len(data) - len(text))
    for number, byte in enumerate(text):
        sure &= data[at + number] == byte
    return sure


def _fetched(block: bytes, at: Positions, width: int) -> Words:
    """Return so many bytes of each place as words, one row for each 8 bytes; what is out of the block is anything."""
    last = len(block) - width
    places: NDArray[Any] = np.ndarray((last + 1,), f"V{width}", block, 0, (1,))
    return np.ascontiguousarray(places[np.clip(at, 0, last)].view(_WORD).reshape(-1, width // 8).T)


def _no_digits(words: Words) -> Words:
    """Return words whose bytes have their highest bit set where the byte is no digit."""
    rest = words ^ _ZEROS
    found = rest & _LOW
    found += _CARRY  # what is over 9 carries
    found |= rest
    found &= _HIGH
    return found


def _counted(block: bytes, first: Positions, stop: Positions) -> Mapping[bytes, int]:
    """Count the texts of a block between these places, which are in order."""
    if not len(first):
        return {}
    bounds = np.column_stack((first, stop)).astype(np.int32).ravel()
    # An array of all texts and of all between them, over the block itself: no text is made of more than the distinct.
    every = pa.Array.from_buffers(pa.binary(), len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(block)])
    found = every.take(pa.array(np.arange(0, len(bounds) - 1, 2, dtype=np.int32))).value_counts()
    return dict(zip(_texts(found.field(0)), found.field(1).to_numpy().tolist(), strict=True))


def _texts(array: Any) -> list[bytes]:
    """Return an array's texts: Arrow's own way makes two objects of each."""
    _, offsets, texts = array.buffers()
    bounds = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1].tolist()
    raw = texts.to_pybytes() if texts is not None else b""
    return [raw[start:stop] for start, stop in pairwise(bounds)]


def _first_words(clients: Mapping[bytes, int]) -> Mapping[bytes, int]:
    """Cut a client at its first space: more words before the user are the identity's and the user's."""
    if b" " not in b"".join(clients):
        return clients
    found: Counter[bytes] = Counter()
    for client, count in clients.items():
        found[client.partition(b" ")[0]] += count
    return found


def _rest(block: bytes, sure: Sure, start: Positions, end: Positions) -> bytes:
    unsure = np.flatnonzero(~sure)
    return b"".join([block[first : last + 1] for first, last in zip(start[unsure], end[unsure], strict=True)])
