"""Reads the small part of pickle that textbook clients send, and builds no class.

The pickle module is never given bytes from a connection, not even behind a restricted `Unpickler`:
nine bytes make its memo table half a gigabyte, and a deeply nested key ends the process. What is
read here are protocols 4 and 5 as `multiprocessing` writes them: None, bool, int, float, str,
bytes, list, tuple, and dict with str or int keys. The memo grows by MEMOIZE alone, nesting and the
number of values are bounded, and a value reached twice counts twice, so small input stays small.
The one class that the protocol itself needs, `multiprocessing.managers.Token`, becomes its state, a
plain tuple. It knows nothing of connections, requests or queues.

Source: Lib/pickletools.py of CPython, which describes each opcode.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

MAX_DEPTH: Final = 32
MAX_VALUES: Final = 100_000
MAX_OPCODES: Final = 4 * MAX_VALUES
"""A value takes one or two opcodes; more of them only take time."""
MAX_INT_KEY: Final = 1 << 63
"""Larger ints with the same hash are easily made, and a dict of them takes quadratic time."""

_READ_WHOLE: Final = frozenset({4, 5})
_TOKEN_NAME: Final = ("multiprocessing.managers", "Token")


class Undecodable(ValueError):
    """The bytes are not the part of pickle that is read here; the text says what was found."""


class _Stub:
    """Stands on the stack for a thing that must not be left in the value."""

    def __init__(self, name: str) -> None:
        self.name = name


_TOKEN_CLASS: Final = _Stub("the class Token")
_TOKEN: Final = _Stub("a Token without its state")


def decode(data: bytes) -> Any:
    """Return the value that `data` stands for; raise `Undecodable` for anything but plain values."""
    machine = _Machine(data)
    try:
        machine.run()
    except (IndexError, struct.error):
        raise Undecodable("the pickle is truncated or takes more than it has put down") from None
    except UnicodeDecodeError:
        raise Undecodable("a text is not UTF-8") from None
    value = machine.result()
    _check(value)
    return value


def _check(value: Any) -> None:
    """Visit every value without recursion, aliases at each visit: bombs and cycles run into the bounds."""
    pending = [(value, 0)]
    seen = 0
    while pending:
        seen += 1
        if seen > MAX_VALUES:
            raise Undecodable(f"more than {MAX_VALUES} values in one message")
        one, depth = pending.pop()
        children = _children(one)
        if children and depth >= MAX_DEPTH:
            raise Undecodable(f"nested deeper than {MAX_DEPTH}")
        if len(children) + len(pending) > MAX_VALUES:
            raise Undecodable(f"more than {MAX_VALUES} values in one message")
        pending.extend((child, depth + 1) for child in children)


def _children(value: Any) -> list[Any] | tuple[Any, ...]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, _Stub):
        raise Undecodable(f"{value.name} is not a value")
    return ()


class _Machine:
    """The stack machine of pickle with the opcodes that plain values need."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._frame_end = 0
        self._stack: list[Any] = []
        self._floor = 0
        self._marks: list[int] = []
        self._memo: list[Any] = []

    def run(self) -> None:
        """Carry out every opcode up to STOP."""
        if self.take(1) != b"\x80" or self.byte() not in _READ_WHOLE:
            raise Undecodable("pickle protocols 4 and 5 are read here, nothing else")
        left = MAX_OPCODES
        while (opcode := self.byte()) != _STOP:
            left -= 1
            if not left:
                raise Undecodable(f"more than {MAX_OPCODES} opcodes in one message")
            carry_out = _OPCODES.get(opcode)
            if carry_out is None:
                found = _KNOWN_BUT_REFUSED.get(opcode, f"opcode 0x{opcode:02x}")
                raise Undecodable(f"{found} is not admitted: {_ADMITTED}")
            carry_out(self)

    def result(self) -> Any:
        """Return the one value that is left."""
        if len(self._stack) != 1 or self._marks or self._at != len(self._data):
            raise Undecodable("the pickle does not end with exactly one value")
        return self._stack[0]

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data) or self._at < self._frame_end < end:
            raise Undecodable("an opcode reaches beyond its frame")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) <= self._floor:
            raise Undecodable("the pickle takes more than it has put down")
        return self._stack.pop()

    def _top(self, kind: type) -> Any:
        if len(self._stack) <= self._floor or type(self._stack[-1]) is not kind:
            raise Undecodable(f"the pickle fills something that is not a {kind.__name__}")
        return self._stack[-1]

    def frame(self) -> None:
        size = self.number(8)
        if self._at < self._frame_end or size > len(self._data) - self._at:
            raise Undecodable("a frame reaches beyond the message or into another frame")
        self._frame_end = self._at + size

    def mark(self) -> None:
        self._marks.append(self._floor)
        self._floor = len(self._stack)

    def since_mark(self) -> list[Any]:
        floor = self._marks.pop()
        values = self._stack[self._floor :]
        del self._stack[self._floor :]
        self._floor = floor
        return values

    def memoize(self) -> None:
        self._memo.append(self._stack[-1])

    def recall(self, size: int) -> None:
        self.push(self._memo[self.number(size)])

    def signed(self, size: int) -> None:
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def floating(self) -> None:
        self.push(struct.unpack(">d", self.take(8))[0])

    def text(self, size: int) -> None:
        self.push(self.take(self.number(size)).decode("utf-8", "surrogatepass"))

    def raw(self, size: int) -> None:
        self.push(self.take(self.number(size)))

    def pair_up(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def append(self) -> None:
        value = self._pop()
        self._top(list).append(value)

    def extend(self) -> None:
        values = self.since_mark()
        self._top(list).extend(values)

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._top(dict)[_key(key)] = value

    def set_items(self) -> None:
        values = self.since_mark()
        if len(values) % 2:
            raise Undecodable("a key has no value")
        keys = map(_key, values[::2])
        self._top(dict).update(zip(keys, values[1::2], strict=True))

    def find_class(self) -> None:
        name, module = self._pop(), self._pop()
        if (module, name) != _TOKEN_NAME:
            raise Undecodable(f"class {_shown(module)}.{_shown(name)} is not admitted: {_ADMITTED}")
        self.push(_TOKEN_CLASS)

    def make_object(self) -> None:
        arguments, made = self._pop(), self._pop()
        if made is not _TOKEN_CLASS or arguments != ():
            raise Undecodable(f"an object is not admitted: {_ADMITTED}")
        self.push(_TOKEN)

    def give_state(self) -> None:
        state, made = self._pop(), self._pop()
        if made is not _TOKEN or not _is_token_state(state):
            raise Undecodable("the state of a Token is (type, address, id)")
        self.push(state)


def _key(value: Any) -> str | int:
    if type(value) is str or (type(value) is int and -MAX_INT_KEY < value < MAX_INT_KEY):
        return value
    raise Undecodable(f"a key of a dict is a str or a 64-bit int here, not {_shown(type(value).__name__)}")


def _is_token_state(state: Any) -> bool:
    if type(state) is not tuple or len(state) != 3:
        return False
    name, address, ident = state
    return type(name) is str and type(ident) is str and type(address) in (str, tuple)


def _shown(value: Any) -> str:
    return value[:60] if isinstance(value, str) else "?"


def _constant(value: Any) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(value)


_ADMITTED: Final = "None, bool, int, float, str, bytes, list, tuple, and dict with str or int keys"
_STOP: Final = 0x2E
_KNOWN_BUT_REFUSED: Final = {
    0x8B: "an int of more than 255 bytes",
    0x8F: "a set",
    0x91: "a frozenset",
    0x96: "a bytearray",
}
_OPCODES: Final[dict[int, Callable[[_Machine], None]]] = {
    0x95: _Machine.frame,
    0x28: _Machine.mark,
    0x94: _Machine.memoize,
    0x68: lambda machine: machine.recall(1),
    0x6A: lambda machine: machine.recall(4),
    0x4E: _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    0x4B: lambda machine: machine.push(machine.byte()),
    0x4D: lambda machine: machine.push(machine.number(2)),
    0x4A: lambda machine: machine.signed(4),
    0x8A: lambda machine: machine.signed(machine.byte()),
    0x47: _Machine.floating,
    0x8C: lambda machine: machine.text(1),
    0x58: lambda machine: machine.text(4),
    0x43: lambda machine: machine.raw(1),
    0x42: lambda machine: machine.raw(4),
    0x29: _constant(()),
    0x85: lambda machine: machine.pair_up(1),
    0x86: lambda machine: machine.pair_up(2),
    0x87: lambda machine: machine.pair_up(3),
    0x74: lambda machine: machine.push(tuple(machine.since_mark())),
    0x5D: lambda machine: machine.push([]),
    0x7D: lambda machine: machine.push({}),
    0x61: _Machine.append,
    0x65: _Machine.extend,
    0x73: _Machine.set_item,
    0x75: _Machine.set_items,
    0x93: _Machine.find_class,
    0x81: _Machine.make_object,
    0x62: _Machine.give_state,
}
