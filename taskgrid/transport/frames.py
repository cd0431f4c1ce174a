"""Frames: what one message looks like on the wire, and the seal that guards it. No socket here.

    u32 size | u32 header | header (JSON) | section 0 (the body: JSON) | section 1 ... (raw parts) | seal

`size` counts header and sections. The header is the envelope: request number, verb or outcome, and the
length of each section, so that the body goes to its model and the parts to their reader unparsed.

On a plain connection a frame ends in a seal: 16 bytes of HMAC-SHA256 over a sequence number and the
whole frame, under a key of its direction. A forged, changed, dropped, replayed or reflected frame does
not verify. Under TLS the records do all that, and there is no seal.

All of this is paid at both ends of each message, so the usual small one goes through few calls.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from taskgrid.errors import BY_CODE, TaskGridError, TooLarge
from taskgrid.transport.protocol import MAX_FRAME

PREFIX: Final = struct.Struct("!II")
SEAL_SIZE: Final = 16
MAX_HEADER: Final = 256 << 10
"""Bytes: enough for the lengths of tens of thousands of parts, and no list of millions."""
_TEXT_LIMIT: Final = 8_000  # characters of an error's sentence that cross the wire
_ONE_PIECE: Final = 64 << 10  # bytes: below, one copy is cheaper than many pieces
_MAC_BLOCK: Final = 64  # bytes of SHA-256's block, to which HMAC pads its key
_INNER, _OUTER = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))

Buffer = bytes | bytearray | memoryview


class FrameError(ValueError):
    """These bytes are no frame of ours; the connection they came from is over."""


class Envelope(BaseModel):
    """A frame's header; what a later version adds is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    n: int
    """The request's number, echoed by its answer."""
    parts: list[Annotated[int, Field(ge=0, le=MAX_FRAME)]]
    """Bytes of each section; the first is the body."""
    verb: str = ""
    """What a request asks for."""
    ok: bool = True
    """Whether an answer's body is the verb's reply, or an error."""
    more: bool = False
    """Whether another answer to the same request follows, unasked."""


class Frame(NamedTuple):
    """A message as it was received."""

    envelope: Envelope
    body: bytes
    parts: tuple[bytes, ...]


class Packed(NamedTuple):
    """A message ready to be sent: its pieces in order, without the seal."""

    pieces: list[bytes]
    size: int
    """Bytes of all pieces."""


class Seal:
    """The seals of one direction of one connection, in the order of their frames.

    HMAC as RFC 2104 writes it: `hmac` would copy its object through five calls of Python for each frame.
    """

    def __init__(self, key: bytes) -> None:
        padded = (sha256(key).digest() if len(key) > _MAC_BLOCK else key).ljust(_MAC_BLOCK, b"\0")
        self._inner = sha256(padded.translate(_INNER))  # copied for each frame: the key is scheduled once
        self._outer = sha256(padded.translate(_OUTER))
        self._sequence = 0

    def next(self, pieces: Iterable[Buffer]) -> bytes:
        """Return the seal of the direction's next frame."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(self._sequence.to_bytes(8, "big"))
        for piece in pieces:
            inner.update(piece)
        self._sequence += 1
        outer.update(inner.digest())
        return outer.digest()[:SEAL_SIZE]

    def check(self, frame: Buffer, seal: Buffer) -> None:
        """Raise `FrameError` unless `seal` is that of the direction's next frame."""
        if not compare_digest(self.next((frame,)), seal):
            raise FrameError("the seal does not fit")


def pack_request(number: int, verb: str, body: bytes, parts: Sequence[bytes]) -> Packed:
    """Pack a request. Raises `TooLarge`."""
    return _pack(f'{{"n":{number},"verb":"{verb}","parts":[{_sizes(body, parts)}]}}'.encode(), body, parts)


def pack_reply(number: int, body: bytes, parts: Sequence[bytes], *, more: bool = False) -> Packed:
    """Pack the answer of a request that was granted, and say whether `more` follow. Raises `TooLarge`."""
    follows = ',"more":true' if more else ""
    return _pack(f'{{"n":{number}{follows},"parts":[{_sizes(body, parts)}]}}'.encode(), body, parts)


def pack_error(number: int, error: TaskGridError) -> Packed:
    """Pack the answer of a request that was refused: the error's code, sentences and fields."""
    body = _error_body(error, error.fields)
    if len(body) > MAX_FRAME // 2:
        body = _error_body(error, {})
    return _pack(f'{{"n":{number},"ok":false,"parts":[{len(body)}]}}'.encode(), body, ())


def unpack_error(body: bytes) -> TaskGridError:
    """Rebuild an error from the closed table; an unknown code becomes a plain `TaskGridError`."""
    try:
        told = _ErrorBody.model_validate_json(body)
    except ValidationError:
        return TaskGridError(
            "The master refused, in words that this TaskGrid can't read.", hint="Upgrade TaskGrid here."
        )
    kind = BY_CODE.get(told.code, TaskGridError)
    fields = {name: value for name, value in told.fields.items() if name not in ("self", "message", "why", "hint")}
    return kind(told.message, why=told.why, hint=told.hint, **fields)


def frame_size(prefix: Buffer, at: int, limit: int) -> int:
    """Return the bytes that follow the prefix at `at`, without the seal. Raises `FrameError` beyond a limit."""
    size, header = PREFIX.unpack_from(prefix, at)
    if size > limit or header > min(size, MAX_HEADER):
        raise FrameError(f"a frame of {size} bytes, {header} of them its header")
    return int(size)


def unpack(frame: Buffer) -> Frame:
    """Take a whole frame apart, prefix included and seal not; sections are copied out, once."""
    size, header = PREFIX.unpack_from(frame)
    at = PREFIX.size + header
    try:
        envelope = _ENVELOPE.validate_json(bytes(frame[PREFIX.size : at]))
    except ValidationError as error:
        raise FrameError("an envelope that can't be read") from error
    sections = []
    for length in envelope.parts:
        sections.append(bytes(frame[at : at + length]))
        at += length
    if not sections or not at == len(frame) == PREFIX.size + size:
        raise FrameError("sections that don't add up")
    return Frame(envelope, sections[0], tuple(sections[1:]))


class _ErrorBody(BaseModel):
    code: str
    message: str
    why: str = ""
    hint: str = ""
    fields: dict[str, Any] = {}


_ENVELOPE: Final = Envelope.__pydantic_validator__


def _error_body(error: TaskGridError, fields: dict[str, Any]) -> bytes:
    told = {"code": error.code, "message": error.message, "why": error.why, "hint": error.hint}
    short = {name: text[:_TEXT_LIMIT] for name, text in told.items()}
    return to_json({**short, "fields": fields}, fallback=repr, inf_nan_mode="constants")


def _sizes(body: bytes, parts: Sequence[bytes]) -> str:
    return ",".join(map(str, map(len, (body, *parts)))) if parts else str(len(body))


def _pack(header: bytes, body: bytes, parts: Sequence[bytes]) -> Packed:
    size = len(header) + len(body) + sum(map(len, parts))
    if size > MAX_FRAME or len(header) > MAX_HEADER:
        raise _too_large(len(header), size)
    pieces = [PREFIX.pack(size, len(header)), header, body, *parts]
    return Packed([b"".join(pieces)] if size < _ONE_PIECE else pieces, PREFIX.size + size)


def _too_large(header: int, size: int) -> TooLarge:
    if header > MAX_HEADER:
        return TooLarge(f"A message has too many parts: {header:,} bytes of lengths, the limit is {MAX_HEADER:,}.")
    return TooLarge(
        f"A message of {size:,} bytes is over the limit of {MAX_FRAME:,}.",
        why="Payloads and results travel through the master, which is made for small ones.",
        hint="Write large data to storage that all machines share, and pass its path.",
    )
