"""The stock port's decoder: reads what textbook clients write, refuses the rest quickly, never surprises."""

from __future__ import annotations

import datetime as dt
import math
import pickle
import pickletools
import resource
import time
from collections.abc import Callable
from multiprocessing.managers import Token
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.transport.stock import Undecodable, decode, encode

KEYS = st.text() | st.integers(-(2**63) + 1, 2**63 - 1)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**2000), 2**2000) | st.floats(allow_nan=False) | st.text() | st.binary()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner),
    max_leaves=30,
)
SEED = pickle.dumps(("get_task_queue", "put", ([1, 2.5, "text", b"raw", None, True, {"a": (1, 2), 7: []}],), {}), 4)


@given(VALUES, st.sampled_from([4, 5]))
def test_plain_values_come_out_as_they_went_in(value: Any, protocol: int) -> None:
    """What a client puts is what another gets, whatever the protocol."""
    assert decode(pickle.dumps(value, protocol)) == value


@given(VALUES)
def test_what_is_written_can_be_read_again(value: Any) -> None:
    """An item survives its way through the file."""
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    "value", [["x" * 70_000, "y"], [b"z" * 70_000] * 3, list(range(5000)), "\ud800", -0.0, [[]] * 9]
)
def test_values_of_awkward_shape_come_out_as_they_went_in(value: Any) -> None:
    """Large texts leave pickle's frames, equal values share a memo entry, lone surrogates are texts too."""
    assert decode(pickle.dumps(value, 4)) == value


def test_not_a_number_stays_not_a_number() -> None:
    """NaN is a float like any other."""
    assert math.isnan(decode(pickle.dumps(math.nan, 5)))


def test_a_token_arrives_as_its_state() -> None:
    """The one class of the managers' protocol becomes a plain tuple."""
    request = (None, "get_methods", (Token("get_task_queue", ("127.0.0.1", 5000), "7f"),), {})
    assert decode(pickle.dumps(request, 4))[2][0] == ("get_task_queue", ("127.0.0.1", 5000), "7f")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (dt.date(2024, 1, 1), "datetime.date"),
        (print, "builtins.print"),
        ({1, 2}, "a set"),
        (frozenset({1}), "a frozenset"),
        (bytearray(b"x"), "builtins.bytearray"),
        (2**9000, "an int of more than 255 bytes"),
        ({(1, 2): 3}, "a key of a dict"),
        ({True: 3}, "a key of a dict"),
        ({2**64: 3}, "a key of a dict"),
    ],
)
def test_everything_else_is_refused_by_name(value: Any, named: str) -> None:
    """The client reads what was wrong with its item."""
    with pytest.raises(Undecodable, match=named):
        decode(pickle.dumps(value, 4))


def _nested(depth: int) -> bytes:
    return b"\x80\x04" + b"]" * depth + b"a" * (depth - 1) + b"."


def _colliding_keys() -> bytes:
    """Write the dict down by hand: to build it would take the time that the decoder must not take."""
    keys = b"".join(b"\x8a\x10" + (k * (2**61 - 1)).to_bytes(16, "little") + b"N" for k in range(5, 20_000))
    return b"\x80\x04}(" + keys + b"u."


def _cycle() -> bytes:
    return b"\x80\x04]\x94h\x00a."


def _wide_aliases() -> bytes:
    inner = b"](" + b"N" * 40_000 + b"e\x94"
    return b"\x80\x04]" + b"(" + inner + b"h\x00" * 40_000 + b"e."


BOMBS: dict[str, Callable[[], bytes]] = {
    "a memo index of 2^25": lambda: b"\x80\x04Nr\x00\x00\x00\x02.",
    "a memo index of 2^31": lambda: b"\x80\x04Nr\x00\x00\x00\x80.",
    "a text of 4 GiB that is not there": lambda: b"\x80\x04X\xff\xff\xff\xff.",
    "bytes of 8 EiB that are not there": lambda: b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",
    "a tuple 100,000 deep as a key": lambda: b"\x80\x04})" + b"\x85" * 100_000 + b"Ns.",
    "a tuple 100,000 deep": lambda: b"\x80\x04)" + b"\x85" * 100_000 + b".",
    "100,000 empty lists": lambda: b"\x80\x04" + b"]" * 100_000,
    "a list 100,000 deep": lambda: _nested(100_000),
    "100,000 marks": lambda: b"\x80\x04" + b"(" * 100_000 + b".",
    "eight million lists": lambda: b"\x80\x04" + b"]" * 8_000_000,
    "a list that holds itself": _cycle,
    "22 pairs of the pair before": lambda: (
        b"\x80\x04]\x94" + b"".join(b"h" + bytes([i]) + b"\x86\x94" for i in range(22)) + b"."
    ),
    "40,000 aliases of a list of 40,000": _wide_aliases,
    "colliding keys": _colliding_keys,
    "a class": lambda: b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "a class, the old way": lambda: b"\x80\x04cos\nsystem\n.",
    "a call": lambda: b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "the bare Token class": lambda: b"\x80\x04\x8c\x18multiprocessing.managers\x8c\x05Token\x93.",
    "a Token without state": lambda: b"\x80\x04\x8c\x18multiprocessing.managers\x8c\x05Token\x93)\x81.",
    "a persistent id": lambda: b"\x80\x04Pspam\n.",
    "protocol 2": lambda: pickle.dumps([1, 2], 2),
    "protocol 0": lambda: pickle.dumps([1, 2], 0),
    "nothing": lambda: b"",
    "no value": lambda: b"\x80\x04.",
    "a second value": lambda: b"\x80\x04NN.",
    "bytes after the end": lambda: b"\x80\x04N.N",
    "a frame beyond the message": lambda: b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00N.",
    "a frame that cuts an opcode": lambda: b"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00M\x01\x01.",
    "a list filled below a mark": lambda: b"\x80\x04](N(e.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_quickly_and_cheaply(name: str) -> None:
    """A few bytes can't take the server's time, memory or life."""
    data = BOMBS[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(Undecodable):
        decode(data)
    assert time.process_time() - began < 5.0  # tens of milliseconds; what this tells apart is minutes
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


@settings(max_examples=400)
@given(
    st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 3)
)
def test_a_mutated_request_is_read_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    """Whatever arrives, the decoder gives plain values or says no: no other exception."""
    data = bytearray(SEED)
    for at, byte in changes:
        data[at] = byte
    _reads_as_pickle_does(bytes(data[: len(data) - cut]))


@settings(max_examples=400)
@given(
    st.lists(
        st.sampled_from([op.code.encode("latin-1") for op in pickletools.opcodes]) | st.binary(max_size=3), max_size=30
    )
)
def test_random_opcodes_are_read_or_refused(opcodes: list[bytes]) -> None:
    """The stack machine never runs off its stack, its marks or its memo."""
    _reads_as_pickle_does(b"\x80\x04" + b"".join(opcodes) + b".")


def _reads_as_pickle_does(data: bytes) -> None:
    try:
        value = decode(data)
    except Undecodable:
        return
    # What is read has no class in it, so the real thing may look at it too.
    assert repr(pickle.loads(data)) == repr(value)
