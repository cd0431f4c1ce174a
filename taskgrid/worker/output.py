"""The last of what a child printed, kept small however much it prints.

Bounded twice: by bytes while it flows, by lines when it is shown.
"""

from __future__ import annotations

from typing import Final

MOST_BYTES: Final = 4096
MOST_LINES: Final = 20


class Tail:
    """The end of a stream of bytes."""

    def __init__(self) -> None:
        self._bytes = b""

    def add(self, data: bytes) -> None:
        """Append what was printed."""
        self._bytes = (self._bytes + data[-MOST_BYTES:])[-MOST_BYTES:]

    def text(self) -> str:
        """Return the last lines; a first line that was cut is left out unless it is all there is."""
        text = self._bytes.decode(errors="replace")
        lines = text.splitlines()
        if len(self._bytes) == MOST_BYTES and len(lines) > 1:
            lines = lines[1:]
        return "\n".join(lines[-MOST_LINES:])
