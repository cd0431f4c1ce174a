r"""Finds the lines of a log that match a regular expression, in order, with where they stand.

A line matches if `re.search` finds something in it. Asking line by line is the definition, and slow.
The quick way lets one search run over a whole block, and from each hit goes on at the next line. That
leaves no line out if the expression cannot tell a line's end from the end of a text: a match in a line
is then also one in the block, so that no search runs past it without a hit. A hit that spans lines is
no hit yet: each of its lines is asked by itself. Expressions that look around, own what they have
taken, or mean the ends of a text are asked line by line. Where every match has a certain text in it,
only lines that have the text are asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from heapq import merge
from itertools import islice
from typing import Final

from pydantic import BaseModel, ConfigDict

from taskgrid.errors import UsageError
from taskgrid.lines.columns import finder, lines_in
from taskgrid.logs.fields import text
from taskgrid.logs.literal import literals_in
from taskgrid.logs.reading import Block, whole_lines

__all__ = ["Match", "Matches"]

LIMIT: Final = 1000
"""Matching lines that are kept unless another number is named."""

_TELLS_ENDS: Final = re.compile(rb"\(\?(?!:|P<|P=)|\\[AZzB]|[*+?}]\+")
"""What can make a line match by itself and not within a block."""

_SAMPLE: Final = 256 << 10
_RARE: Final = 4 << 10
"""Bytes of a log for each place of a text that is rare in it."""
_NO_TEXT: Final = frozenset("^.[\\")
"""How an expression begins that does not begin with a text; one without any text has none to be found by either."""


class Match(BaseModel):
    """A matching line."""

    model_config = ConfigDict(frozen=True)

    source: str = ""
    """Where the line is from, as the caller named it."""
    offset: int
    """Bytes before the line in its source."""
    line: str
    """Without its end, be that a newline or a carriage return and a newline."""


class Matches(BaseModel):
    """The first matching lines, by source and offset, and how many there are; `a + b` has those of both."""

    model_config = ConfigDict(frozen=True)

    lines: int = 0
    """Lines searched."""
    hits: int = 0
    """Lines that match, those beyond the limit included."""
    limit: int = LIMIT
    found: tuple[Match, ...] = ()

    @classmethod
    def merge(cls, parts: Iterable[Matches]) -> Matches:
        """Bring matches in order; of several limits the least holds."""
        found = list(parts)
        limit = min((part.limit for part in found), default=LIMIT)
        ordered = merge(*(part.found for part in found), key=lambda match: (match.source, match.offset))
        return cls(
            lines=sum(part.lines for part in found),
            hits=sum(part.hits for part in found),
            limit=limit,
            found=tuple(islice(ordered, limit)),
        )

    def __add__(self, other: Matches) -> Matches:
        return Matches.merge((self, other))


def grep(
    blocks: Iterable[Block],
    pattern: str,
    *,
    source: str = "",
    offset: int = 0,
    limit: int = LIMIT,
    ignore_case: bool = False,
) -> Matches:
    """Find matching lines in blocks that end where a line ends, the first of which stands at `offset`.

    UsageError if the pattern is no regular expression.
    """
    search = Search(pattern, ignore_case=ignore_case)
    lines = hits = 0
    found: list[Match] = []
    for block in whole_lines(blocks):
        for start, end in search.spans(block):
            hits += 1
            if hits <= limit:
                found.append(
                    Match(source=source, offset=offset + start, line=text(block[start:end].removesuffix(b"\r")))
                )
        lines += lines_in(block)
        offset += len(block)
    return Matches(lines=lines, hits=hits, limit=limit, found=tuple(found))


class Search:
    """A regular expression, ready to be asked of blocks; `^` and `$` are the ends of a line."""

    def __init__(self, pattern: str, *, ignore_case: bool = False) -> None:
        raw = pattern.encode()
        flags = re.MULTILINE | (re.IGNORECASE if ignore_case else 0)
        try:
            self._pattern = re.compile(raw, flags)
        except re.error as error:
            raise UsageError(f"not a regular expression: {pattern}", why=str(error)) from None
        self._by_line = _TELLS_ENDS.search(raw) is not None
        self._literals = [] if ignore_case else literals_in(pattern)
        self._begins_with_text = pattern[:1] not in _NO_TEXT
        self._places: Callable[[bytes], Iterator[int]] | None = None

    def spans(self, block: bytes) -> Iterator[tuple[int, int]]:
        """Yield where each matching line of a block of whole lines begins and ends, its newline not included."""
        if self._literals:
            self._places, self._literals = self._finder(block), []
        if self._places is not None:
            return self._having(block, self._places(block))
        return self._asked(block, 0, len(block)) if self._by_line else self._searched(block)

    def _finder(self, block: bytes) -> Callable[[bytes], Iterator[int]] | None:
        """Return what finds the rarest text that every match has; None if looking for the expression is as quick."""
        sample = block[:_SAMPLE]
        literal = min(self._literals, key=lambda text: (sample.count(text), -len(text)))
        # `re` itself looks for the text that an expression begins with: only for one that is rare this is quicker.
        if self._begins_with_text and sample.count(literal) * _RARE > len(sample):
            return None
        return finder(literal, block) or (None if self._begins_with_text else partial(_places_of, text=literal))

    def _having(self, block: bytes, places: Iterator[int]) -> Iterator[tuple[int, int]]:
        end = 0
        for at in places:
            if at < end:
                continue  # on the line of the one before
            start = block.rfind(b"\n", end, at) + 1 or end
            end = block.find(b"\n", at)
            if self._pattern.search(block[start:end]):
                yield start, end

    def _searched(self, block: bytes) -> Iterator[tuple[int, int]]:
        start = 0
        while hit := self._pattern.search(block, start, len(block) - 1) if start < len(block) else None:
            first = block.rfind(b"\n", start, hit.start()) + 1 or start
            end = block.find(b"\n", hit.end())
            if block.find(b"\n", hit.start(), hit.end()) < 0:
                yield first, end
            else:
                yield from self._asked(block, first, end + 1)
            start = end + 1

    def _asked(self, block: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
        while start < stop:
            end = block.find(b"\n", start)
            if self._pattern.search(block[start:end]):
                yield start, end
            start = end + 1


def _places_of(block: bytes, text: bytes) -> Iterator[int]:
    place = block.find(text)
    while place >= 0:
        yield place
        place = block.find(text, place + 1)
