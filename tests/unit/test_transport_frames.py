"""Frames and their seals, byte by byte."""

from __future__ import annotations

import hmac
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgrid.errors import BY_CODE, Busy, TaskFailed, TaskGridError, TooLarge
from taskgrid.transport.frames import (
    PREFIX,
    SEAL_SIZE,
    FrameError,
    Seal,
    frame_size,
    pack_error,
    pack_reply,
    pack_request,
    unpack,
    unpack_error,
)
from taskgrid.transport.protocol import MAX_FRAME


@given(number=st.integers(0, 2**53), body=st.binary(max_size=50), parts=st.lists(st.binary(max_size=50), max_size=8))
def test_request_is_unpacked_as_it_was_packed(number: int, body: bytes, parts: list[bytes]) -> None:
    """Number, verb, body and every part come through, the empty ones too."""
    packed = pack_request(number, "lease", body, parts)
    frame = b"".join(packed.pieces)
    assert len(frame) == packed.size == PREFIX.size + frame_size(frame, 0, MAX_FRAME)
    found = unpack(memoryview(frame))
    assert (found.envelope.n, found.envelope.verb, found.body, list(found.parts)) == (number, "lease", body, parts)


def test_mutated_frame_is_refused_or_a_frame_but_never_a_surprise() -> None:
    """Five thousand mutations raise `FrameError` or unpack to sections that add up."""
    chance = random.Random(1)
    good = b"".join(pack_reply(12, b'{"ok":true}', (b"one", b"", b"three")).pieces)
    refused = 0
    for _ in range(5000):
        bad = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        del bad[len(bad) - chance.choice((0, 0, 1, 5)) :]
        try:
            frame_size(bad, 0, MAX_FRAME)
            found = unpack(memoryview(bad))
        except FrameError:
            refused += 1
            continue
        assert sum(map(len, (found.body, *found.parts))) <= len(bad)
    assert refused > 2500


@pytest.mark.parametrize(
    "header", [b"[" * 100_000, b'{"n":1,"parts":[-1]}', b'{"n":1,"parts":[]}', b'{"n":1}', b"\xff"]
)
def test_envelope_that_is_none_is_a_frame_error(header: bytes) -> None:
    """Depth, negative lengths, nothing at all: no other exception comes out."""
    frame = PREFIX.pack(len(header), len(header)) + header
    with pytest.raises(FrameError):
        unpack(memoryview(frame))


def test_envelope_of_a_later_version_is_read() -> None:
    """Unknown fields are ignored."""
    header = b'{"n":1,"verb":"health","parts":[2],"later":{"x":1}}'
    assert unpack(memoryview(PREFIX.pack(len(header) + 2, len(header)) + header + b"{}")).body == b"{}"


@pytest.mark.parametrize("size", [(MAX_FRAME + 1, 0), (10, 11), (0xFFFFFFFF, 4)])
def test_prefix_that_claims_too_much_is_refused(size: tuple[int, int]) -> None:
    """Before any memory is set aside."""
    with pytest.raises(FrameError):
        frame_size(PREFIX.pack(*size), 0, MAX_FRAME)


def test_sender_refuses_what_the_receiver_would() -> None:
    """`TooLarge` at home, with what to do instead."""
    with pytest.raises(TooLarge, match="pass its path"):
        pack_request(1, "submit", b"{}", (bytes(MAX_FRAME),))


@given(key=st.binary(max_size=200), frames=st.lists(st.lists(st.binary(max_size=200), max_size=4), max_size=4))
def test_seal_is_the_hmac_of_rfc_2104_over_number_and_frame(key: bytes, frames: list[list[bytes]]) -> None:
    """For every length of key and however the frame is in pieces, as the standard library computes it."""
    seal = Seal(key)
    for number, pieces in enumerate(frames):
        told = hmac.digest(key, number.to_bytes(8, "big") + b"".join(pieces), "sha256")
        assert seal.next(pieces) == told[:SEAL_SIZE]


def test_seal_is_good_once_in_its_place_and_direction() -> None:
    """Changed, repeated, reordered or reflected frames do not verify."""
    sending, frame = Seal(b"a" * 32), memoryview(b"frame")
    first, second = memoryview(sending.next([b"fra", b"me"])), memoryview(sending.next([b"frame"]))
    assert len(first) == SEAL_SIZE
    receiving = Seal(b"a" * 32)
    receiving.check(frame, first)
    receiving.check(frame, second)
    for receiver, sealed, seal in (
        (receiving, frame, second),
        (Seal(b"a" * 32), frame, second),
        (Seal(b"b" * 32), frame, first),
        (Seal(b"a" * 32), memoryview(b"frume"), first),
        (Seal(b"a" * 32), frame, first[:8]),
    ):
        with pytest.raises(FrameError):
            receiver.check(sealed, seal)


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_error_survives_the_wire(code: str) -> None:
    """Kind, sentences and fields are rebuilt from the closed table."""
    error = BY_CODE[code]("what", why="why", hint="do", task="17.42", count=3)
    rebuilt = unpack_error(unpack(memoryview(b"".join(pack_error(1, error).pieces))).body)
    assert type(rebuilt) is type(error)
    assert (str(rebuilt), rebuilt.fields) == (str(error), error.fields)


def test_error_is_trimmed_rather_than_lost() -> None:
    """Sentences and fields of any size or kind still make an answer."""
    for error in (
        TaskFailed("x" * 100_000, hint="y", type="T", data="z" * (9 << 20)),
        Busy("busy", thing=object(), ratio=math.nan),
    ):
        rebuilt = unpack_error(unpack(memoryview(b"".join(pack_error(1, error).pieces))).body)
        assert type(rebuilt) is type(error)
        assert rebuilt.message
        assert len(rebuilt.message) <= 8000


def test_error_of_a_later_version_becomes_a_plain_one() -> None:
    """An unknown code, a field that is named as an argument, a body that is none: an error all the same."""
    later = unpack_error(b'{"code":"from-the-future","message":"m","fields":{"why":1,"x":2}}')
    assert (type(later), later.message, later.fields) == (TaskGridError, "m", {"x": 2})
    assert type(unpack_error(b"rubbish")) is TaskGridError
