"""What `map` and `submit` are given, as payload lines: items on the command line, or lines of stdin.

An item is the function's one argument, a string that the worker's pydantic converts as the function
is annotated. With `--jsonl` a line is the payload itself: an array by position, an object by name.
Knows nothing of jobs.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from taskgrid.errors import FunctionRefused, UsageError

_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_STDIN: Final = 0
_BUFFER: Final = 1 << 16


def checked_function(name: str) -> str:
    """Return the function's name. Raises `FunctionRefused` unless it is `module:function`."""
    if _NAME.fullmatch(name):
        return name
    raise FunctionRefused(
        f"{name!r} names no function",
        why="a function is named by its module and its name in it",
        hint=f"Write it as {_guess(name)}",
    )


def payload_lines(items: list[str], *, jsonl: bool) -> Iterator[bytes]:
    """Yield a payload per item, or per line of stdin if the only item is `-` or there is none."""
    if items and items != ["-"]:
        return _from_json(map(str.encode, items)) if jsonl else map(_payload, items)
    if not items and sys.stdin.isatty():
        raise UsageError("there are no items", why="none was given, and stdin is a terminal", hint="Give items, or `-`")
    return _from_json(_stdin()) if jsonl else _from_text(_stdin())


def _stdin() -> Iterator[bytes]:
    # Not sys.stdin: a thread that waits for a line holds its lock, and Python's end wants that too.
    with open(_STDIN, "rb", buffering=_BUFFER, closefd=False) as stream:
        for line in stream:
            yield line.rstrip(b"\r\n")


def _from_text(lines: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines, 1):
        try:
            yield _payload(line.decode())
        except UnicodeDecodeError as error:
            raise UsageError(f"line {number} of stdin is not UTF-8", why=str(error), hint="Convert it first") from None


def _from_json(lines: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        if bare:
            yield _checked(bare, number)


def _checked(line: bytes, number: int) -> bytes:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UsageError(f"line {number} is not JSON", why=str(error), hint=_JSONL) from None
    if not isinstance(value, list | dict):
        raise UsageError(f"line {number} is JSON, but neither an array nor an object", hint=_JSONL)
    return line


_JSONL: Final = 'With --jsonl a line is ["by", "position"] or {"by": "name"}'


def _payload(item: str) -> bytes:
    return json.dumps([item], ensure_ascii=False).encode()


def _guess(name: str) -> str:
    if "." in name and ":" not in name:
        module, _, function = name.rpartition(".")
        return f"{module}:{function}"
    return "MODULE:FUNCTION, for example mylogs:count"
