r"""The texts that every match of a regular expression has in it, where they are easily seen.

Finding a text is several times as fast as searching for an expression, and most lines have no match:
so only lines that have the text are asked. An expression is read from its beginning, and what is not
sure ends the piece of text at hand; groups and alternatives end it all, with no text found.
"""

from __future__ import annotations

from typing import Final

__all__: list[str] = []  # made for other modules, not for workers to offer

_LEAST: Final = 3
"""Bytes: a shorter text is on most lines anyway."""
_GIVES_UP: Final = frozenset("|()")
_TAKES_BACK: Final = frozenset("*?{")
"""What makes the one before it optional, or may."""
_ENDS: Final = frozenset(".^$+}]")
_SHORT: Final = frozenset("AbBdDsSwWZ")
"""Escapes of one letter that stand for no text."""


def literals_in(pattern: str) -> list[bytes]:
    """Return texts each of which stands in every match of the pattern; none if none of use is seen."""
    if _GIVES_UP.intersection(pattern):
        return []
    pieces, piece, rest = [], "", pattern
    while rest:
        one, rest = rest[0], rest[1:]
        if one == "\\" and rest and not rest[0].isalnum():
            piece, rest = piece + rest[0], rest[1:]
            continue
        if one in _TAKES_BACK:
            piece = piece[:-1]
        if one not in _TAKES_BACK and one not in _ENDS and one not in "[\\":
            piece += one
            continue
        pieces.append(piece)
        piece, rest = "", _behind(one, rest)
    found = [each.encode() for each in (*pieces, piece)]
    return [each for each in found if len(each) >= _LEAST and b"\n" not in each]


def _behind(one: str, rest: str) -> str:
    """Return what follows a class, a repetition or an escape whose first character was taken."""
    if one == "[":
        start = 2 if rest.startswith("^]") else int(rest.startswith("]"))  # a bracket that is first is in the class
        return rest[_end_of_class(rest, start) :]
    if one == "{":
        return rest.partition("}")[2]
    if one == "\\":
        # Of others, as \x41 or \1, one would have to know how long they are.
        return rest[1:] if rest[:1] and rest[0] in _SHORT else ""
    return rest


def _end_of_class(rest: str, start: int) -> int:
    at = start
    while at < len(rest) and rest[at] != "]":
        at += 2 if rest[at] == "\\" else 1
    return at + 1
