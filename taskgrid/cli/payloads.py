"""What `map` and `submit` are given, as batches of payload lines: items on the command line, or lines of stdin.

An item is the function's one argument, a string that the worker's pydantic converts as the function
is annotated. With `--jsonl` a line is the payload itself: an array by position, an object by name.
Knows nothing of jobs.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Final

from taskgrid.cli.stdin import batches_of_stdin
from taskgrid.errors import FunctionRefused, UsageError

_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def checked_function(name: str) -> str:
    """Return the function's name. Raises `FunctionRefused` unless it is `module:function`."""
    if _NAME.fullmatch(name):
        return name
    raise FunctionRefused(
        f"{name!r} names no function",
        why="a function is named by its module and its name in it",
        hint=f"Write it as {_guess(name)}",
    )


def are_on_stdin(items: list[str]) -> bool:
    """Say whether the items are the lines of stdin: there is none, or the only one is `-`."""
    return not items or items == ["-"]


def payload_batches(items: list[str], *, jsonl: bool, most: int, lively: bool = False) -> Iterator[list[bytes]]:
    """Yield payloads, one per item or per line of stdin, in batches of `most`.

    A `lively` batch from stdin has fewer when the next line keeps it waiting.
    """
    payload = _from_json if jsonl else _from_text
    if not are_on_stdin(items):
        given = [item.encode() for item in items]
        return _payloads(payload, (given[at : at + most] for at in range(0, len(given), most)))
    if not items and sys.stdin.isatty():
        raise UsageError("there are no items", why="none was given, and stdin is a terminal", hint="Give items, or `-`")
    return _payloads(payload, batches_of_stdin(most, lively=lively))


def _payloads(payload: Callable[[bytes, int], bytes], batches: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    number = 1
    for lines in batches:
        payloads = [payload(line, at) for at, line in enumerate(lines, number)]
        number += len(lines)
        if found := list(filter(None, payloads)):
            yield found


def _from_text(line: bytes, number: int) -> bytes:
    try:
        return json.dumps([line.decode()], ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise UsageError(f"line {number} of stdin is not UTF-8", why=str(error), hint="Convert it first") from None


def _from_json(line: bytes, number: int) -> bytes:
    bare = line.strip()
    return _checked(bare, number) if bare else b""


def _checked(line: bytes, number: int) -> bytes:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UsageError(f"line {number} is not JSON", why=str(error), hint=_JSONL) from None
    if not isinstance(value, list | dict):
        raise UsageError(f"line {number} is JSON, but neither an array nor an object", hint=_JSONL)
    return line


_JSONL: Final = 'With --jsonl a line is ["by", "position"] or {"by": "name"}'


def _guess(name: str) -> str:
    if "." in name and ":" not in name:
        module, _, function = name.rpartition(".")
        return f"{module}:{function}"
    return "MODULE:FUNCTION, for example mylogs:count"
