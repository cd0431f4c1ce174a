r"""The text that every match of a regular expression has in it, where that is easily seen.

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


def literal_in(pattern: str) -> bytes | None:
    """Return the longest text that stands in every match of the pattern; None if none of use is seen."""
    if _GIVES_UP.intersection(pattern):
        return None
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
    longest = max([*pieces, piece], key=len).encode()
    return longest if len(longest) >= _LEAST and b"\n" not in longest else None


def _behind(one: str, rest: str) -> str:
    """Return what follows a class, a repetition or an escape whose first character was taken."""
    if one == "[":
        start = 2 if rest.startswith("^]") else int(rest.startswith("]"))  # a bracket that is first is in the class
        return rest[_end_of_class(rest, start) :]
    if one == "{":
        return rest.partition("}")[2]
    if one == "\\":
        return ""  # \x41, \d, \1: how long it is would have to be known
    return rest


def _end_of_class(rest: str, start: int) -> int:
    at = start
    while at < len(rest) and rest[at] != "]":
        at += 2 if rest[at] == "\\" else 1
    return at + 1
