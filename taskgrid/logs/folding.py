"""Folds what differs from one message to the next, so that messages which say the same count together.

    Failed password for root from 203.0.113.7 port 4711 ssh2
    Failed password for root from <ip> port <num> ssh2

Quoted strings but those that are the message (at its beginning, behind `] ` as klog has them, or behind `msg=`),
addresses, hexadecimal and decimal numbers become placeholders, by how they look. Digits that
end a name stay up to two of them: `eth0` and `ssh2` are names, `blk_38865049` and `user4711` are not. (The
preprocessing of Drain, He et al., ICWS 2017; its parse tree, which also folds names, depends on the order in
which messages come, so that its answers don't merge.)

Most words have nothing to fold, or were seen before: each is looked at once and remembered. Knows no format.
"""

from __future__ import annotations

import re
from typing import Final

__all__: list[str] = []  # made for other modules, not for workers to offer

_QUOTED: Final = re.compile(
    rb"""(?P<kept>(?:\A|(?<=\] )|(?<=msg=)|(?<=message=)|(?<=err=)|(?<=error=))"(?:[^"\\]|\\.)*")"""
    rb"""|(?<![\w\\])"(?:[^"\\]|\\.)*"(?!\w)|(?<!\w)'[^']*'(?!\w)""",
    re.DOTALL,
)
"""Not what stands between two apostrophes, as in `can't` and `won't`, nor what an escaped quote seems to open."""
_HEX: Final = rb"[0-9A-Fa-f]"
_FOLDED: Final = re.compile(
    rb"(?P<ip>(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)"
    rb"|(?<![\w:])(?:(?:HEX{1,4}:){7}HEX{1,4}|(?:HEX{1,4}:){1,6}(?::HEX{1,4}){1,6}"
    rb"|(?:HEX{1,4}:){1,7}:|:(?::HEX{1,4}){1,7})(?![\w:]))"
    rb"|(?P<hex>(?<![^\W_])(?:0[xX]HEX+|HEX{8}-(?:HEX{4}-){3}HEX{12}|(?:HEX{2}[:-]){5,}HEX{2}"
    rb"|(?=\d*[A-Fa-f])(?=[A-Fa-f]*\d)HEX{8,})(?![^\W_]))"
    rb"|(?P<num>(?<![^\W_])(?<!\.)-?\d+(?:\.\d+)*|\d{3,})".replace(b"HEX", _HEX)
)
_MOST_WORDS: Final = 1 << 16
"""Words that are remembered."""
_LONGEST: Final = 64
"""Bytes of a word that is remembered."""


def fold(message: bytes) -> bytes:
    """Return a message with placeholders for what differs: the definition, and slow."""
    return _FOLDED.sub(_placeholder, _QUOTED.sub(_string, message))


class Folding:
    """Folds messages as `fold` does, quickly."""

    def __init__(self) -> None:
        self._words = _Words()

    def fold(self, message: bytes) -> bytes:
        """Return a message with placeholders for what differs."""
        if b'"' in message or b"'" in message:
            message = _QUOTED.sub(_string, message)
        words = self._words
        return b" ".join([words[word] for word in message.split(b" ")])


class _Words(dict[bytes, bytes]):
    """Words, folded: nothing that is folded has a space in it."""

    def __missing__(self, word: bytes) -> bytes:
        folded = _FOLDED.sub(_placeholder, word)
        if len(word) <= _LONGEST:
            if len(self) >= _MOST_WORDS:
                self.clear()
            self[word] = folded
        return folded


def _string(found: re.Match[bytes]) -> bytes:
    return found[0] if found["kept"] else b"<str>"


def _placeholder(found: re.Match[bytes]) -> bytes:
    return b"<%b>" % (found.lastgroup or "num").encode()
