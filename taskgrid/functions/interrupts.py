"""Ctrl-C in the midst of pydantic's serializer, which makes its own error of whatever a call into Python raised.

In JSON nothing but the words of that error tells what it was. They begin with the exception's name,
so that no words of a user's can be taken for it. Knows nothing of what is written.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic_core import PydanticSerializationError

_INTERRUPTED: Final = re.compile(
    r"(?:Error serializing to JSON: )?"
    r"(?:(?:PydanticSerializationError: )?Error calling function `[^`]*`: )*"
    r"(KeyboardInterrupt|SystemExit)(?:: (.*))?",
    re.DOTALL,
)


def let_interrupt_through(error: Exception) -> None:
    """Raise anew what asked the whole program to stop; return if it is any other error."""
    match = _INTERRUPTED.fullmatch(str(error)) if isinstance(error, PydanticSerializationError) else None
    if match is None:
        return
    name, words = match.groups()
    if name == KeyboardInterrupt.__name__:
        raise KeyboardInterrupt from None
    raise SystemExit(int(words) if words and words.isdecimal() else words or None) from None
