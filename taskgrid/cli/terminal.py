"""What the command line knows of its terminal: colours, talk on stderr, a question, a progress line.

stdout is data and stderr is talk. Colours and rewritten lines appear only where a person looks:
a terminal, without `NO_COLOR`, and not `TERM=dumb`. Knows nothing of jobs.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import Final, TextIO

_CODES: Final = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}
_CLEAR: Final = "\r\x1b[2K"


def paint(text: str, colour: str, *, stream: TextIO | None = None) -> str:
    """Return the text in a colour, if the stream (stderr) shows colours."""
    if not shows_colours(stream or sys.stderr):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def say(text: str) -> None:
    """Write one line of talk."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def confirm(question: str) -> bool:
    """Ask on the terminal and return whether the answer was yes; without a terminal nobody can agree."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


class StatusLine:
    """One line on stderr that is written over in place; silent where that is no terminal."""

    def __init__(self) -> None:
        self.visible = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = ""

    def show(self, text: str) -> None:
        """Replace the line, cut to the terminal's width."""
        if not self.visible or text == self._shown:
            return
        self._shown = text
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(_CLEAR + text[:width])
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, so that other output starts at the left edge."""
        if self._shown:
            self._shown = ""
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()


def shows_colours(stream: TextIO) -> bool:
    """Say whether a person looks at the stream and wants colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
